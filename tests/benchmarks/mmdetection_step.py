"""Training steps and inference of HRNet-W18 Faster R-CNN against mmdetection 3.3's, in turn, and memory.

Both have the same weights, pictures and boxes, those of ``tests/parity``, and so the same proposals. Runs in
an environment that has both; ``docs/parity.md`` says how mmdetection is installed. Memory is the highest of a
process of its own that makes two steps, less what its imports and its detector take. A step at 800x512 of
hrdet's is measured also with norms that are computed again in the backward pass.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from hrdet_cli.engine.training.reports import peak_memory_bytes
from tests.parity.filled_detector import build_filled
from tests.parity.filled_detector import make_batch as make_our_batch
from tests.parity.mmdetection_dump import sum_of
from tests.parity.mmdetection_models import build, make_batch

from .apart import measure_memory_apart
from .family_step import compared
from .reporting import show_table
from .step_time import Duration, Step, duration_of, timed_step

MODEL = "w18"
Side = Literal["ours", "theirs"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=7, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    # Before this process grows: one that it starts counts its memory as its own.
    theirs = measure_memory_apart(memory_of, "theirs", arguments.threads)
    memory = {
        mode: measure_memory_apart(memory_of, "ours", arguments.threads, mode) for mode in ("off", "norms")
    }
    torch.set_num_threads(arguments.threads)
    rows = [
        *measure("step, 2 x 320x320", training_step, [(320, 320)] * 2, arguments.steps, goal="<= 0.75"),
        *measure("step, 1 x 800x512", training_step, [(512, 800)], arguments.steps, goal="<= 0.75"),
        *measure(
            "the same, recomputed: norms",
            partial(training_step, recomputed="norms"),
            [(512, 800)],
            arguments.steps,
            goal="<= 0.75",
        ),
        *measure("inference, 512x512", inference, [(512, 512)], arguments.steps, goal="<= 0.65"),
        *(
            compared(f"step, 1 x 800x512, GiB, recomputed: {mode}", [(ours, theirs)], "<= 0.85")
            for mode, ours in memory.items()
        ),
    ]
    show_table(
        f"Faster R-CNN W18, float32, {arguments.threads} threads, medians of {arguments.steps}",
        ["", "hrdet", "mmdetection", "ratio", "goal"],
        rows,
    )


def measure(
    what: str,
    build_step: Callable[[Side, Sequence[tuple[int, int]]], Step],
    sizes: Sequence[tuple[int, int]],
    steps: int,
    *,
    goal: str,
) -> list[list[str]]:
    """Rows of seconds and CPU seconds."""
    ours, theirs = build_step("ours", sizes), build_step("theirs", sizes)
    ours(), theirs()  # warm up
    pairs = [(ours(), theirs()) for _ in range(steps)]
    return [
        compared(f"{what}, seconds", [(own.seconds, other.seconds) for own, other in pairs], goal),
        compared(f"{what}, CPU seconds", [(a.cpu_seconds, b.cpu_seconds) for a, b in pairs], goal),
    ]


def training_step(side: Side, sizes: Sequence[tuple[int, int]], recomputed: str = "off") -> Step:
    """Bytes to losses, backward and SGD."""
    if side == "ours":
        settings = (f"model.activation_checkpointing={recomputed}",)
        detector, batch = build_filled(MODEL, settings=settings), make_our_batch(sizes)
        return timed_step(detector, lambda: detector(batch.images, batch.targets))
    model, packed = build(MODEL), make_batch(sizes)

    def losses() -> dict[str, Tensor]:
        data = model.data_preprocessor(packed, True)
        by_name = model.loss(data["inputs"], data["data_samples"])
        return {name: sum_of(value) for name, value in by_name.items() if "loss" in name}

    return timed_step(model, losses)


def inference(side: Side, sizes: Sequence[tuple[int, int]]) -> Step:
    """Bytes to detections."""
    if side == "ours":
        detector, images = build_filled(MODEL).eval().for_detection(), make_our_batch(sizes).images
        return _timed(lambda: detector.detect(images))
    model, packed = build(MODEL).eval(), make_batch(sizes)

    def detect() -> None:
        data = model.data_preprocessor(packed, False)
        model.predict(data["inputs"], data["data_samples"])

    return _timed(detect)


def _timed(call: Callable[[], object]) -> Step:
    def step() -> Duration:
        with torch.inference_mode():
            return duration_of(call)

    return step


def memory_of(side: Side, threads: int, recomputed: str = "off") -> float:
    """GiB that two steps take in this process."""
    torch.set_num_threads(threads)
    step = training_step(side, [(512, 800)], recomputed)
    at_rest_bytes = peak_memory_bytes(torch.device("cpu"))
    step(), step()
    return (peak_memory_bytes(torch.device("cpu")) - at_rest_bytes) / 2**30


if __name__ == "__main__":
    main()
