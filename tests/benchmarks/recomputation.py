"""Memory and time of a training step by what of it the backward pass computes again.

Memory is the highest that a step's tensors take, beside weights, gradients and momenta; it does not depend on
the machine. Each way has a process of its own for that: the profiler misses blocks that were there before it
started. Processor times are of steps made in turn in one process.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import accumulate
from multiprocessing import get_context
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .family_step import TRAINS_ALL
from .reporting import show_table
from .step_time import NUM_BOXES, NUM_CLASSES, Step, timed_step

WAYS = ("off", "norms", "modules")


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", nargs="?", default="hrnet-w18")
    parser.add_argument("--canvas", nargs=2, type=int, default=(800, 512), help="width and height")
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="steps of each way that count")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    width, height = arguments.canvas
    torch.set_num_threads(arguments.threads)
    build = partial(
        build_step, preset=arguments.preset, num_pictures=arguments.pictures, canvas=Size(height, width)
    )
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        sizes = processes.map(tensor_bytes_of, [partial(build, way) for way in WAYS])
        megabytes = {way: size / 1e6 for way, size in zip(WAYS, sizes, strict=True)}
    steps = {way: build(way) for way in WAYS}
    for step in steps.values():  # warm up
        step()
    rounds = [{way: step().cpu_seconds for way, step in steps.items()} for _ in range(arguments.steps)]
    show_table(
        f"Training step, {arguments.preset}, {arguments.pictures} pictures of {width}x{height}, float32, "
        f"{arguments.threads} threads, medians of {arguments.steps} steps",
        ["recomputed", "MB", "ratio", "CPU seconds", "ratio"],
        [
            [
                way,
                f"{megabytes[way]:.0f}",
                f"{megabytes[way] / megabytes['off']:.2f}",
                f"{median(seconds[way] for seconds in rounds):.2f}",
                f"{median(seconds[way] / seconds['off'] for seconds in rounds):.2f}",
            ]
            for way in WAYS
        ],
    )


def tensor_bytes_of(build: Callable[[], Step]) -> int:
    """The most that tensors take while a second step is made, beyond what they took before it."""
    step = build()
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    results: Any = profiler.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    taken: list[int] = list(accumulate(event.nbytes() for event in events))
    return max(taken)


def build_step(way: str, preset: str, num_pictures: int, canvas: Size) -> Step:
    """A step of a detector with random weights whose layers all train."""
    batch = make_noise_batch(canvas, num_pictures=num_pictures, num_boxes=NUM_BOXES, num_classes=NUM_CLASSES)
    torch.manual_seed(0)
    spec = load_spec(preset=preset, settings=[*TRAINS_ALL, f"model.activation_checkpointing={way}"]).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    return timed_step(detector, lambda: detector(batch.images, batch.targets))


if __name__ == "__main__":
    main()
