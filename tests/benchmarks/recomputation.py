"""Memory and time of a training step by what of it runs again in the backward pass.

Memory is the highest that a step's tensors take, beside weights, gradients and momenta; it does not depend on
the machine. Processor times are of steps made in turn in one process.
"""

import argparse
from itertools import accumulate
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
    case = (arguments.preset, arguments.pictures, Size(height, width))
    steps = {way: build_step(way, *case) for way in WAYS}
    for step in steps.values():  # warm up
        step()
    megabytes = {way: tensor_bytes_of(step) / 1e6 for way, step in steps.items()}
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


def tensor_bytes_of(step: Step) -> int:
    """The most that tensors take while a step is made, beyond what they took before it."""
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
