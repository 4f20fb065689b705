"""A training step of several pictures at once, and accumulated picture by picture, in turn: processor time.

Accumulated batches go through the model twice, once without a gradient to be counted. Beside them the other
way to fit a step into less memory: all pictures at once, whose activations are computed again.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.training.step_gradients import StepGradients
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .family_step import TRAINS_ALL
from .reporting import show_table
from .step_time import HEIGHT, NUM_BOXES, NUM_CLASSES, WIDTH, duration_of

PRESETS = ("demo", "hrnet-w18")
_CPU = torch.device("cpu")


def main() -> None:
    """Print a row for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--pictures", type=int, default=2, help="pictures in a step")
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    show_table(
        f"Gradients of {arguments.pictures} pictures of {WIDTH}x{HEIGHT}, {arguments.threads} threads, "
        f"CPU seconds and ratios to those at once, medians of {arguments.steps} steps",
        ["preset", "at once", "accumulated", "ratio", "recomputed", "ratio"],
        [
            measure(preset, num_pictures=arguments.pictures, num_steps=arguments.steps)
            for preset in arguments.presets
        ],
    )


def measure(preset: str, *, num_pictures: int, num_steps: int) -> list[str]:
    """A row: medians of CPU seconds, and of the ratios of steps that were made in turn."""
    whole, single = (make_noise(number) for number in (num_pictures, 1))
    plain, recomputing = (build_gradients(preset, recomputes=recomputes) for recomputes in (False, True))
    ways = (
        partial(plain, [whole]),
        partial(plain, [single] * num_pictures),
        partial(recomputing, [whole]),
    )
    turns = [[duration_of(way).cpu_seconds for way in ways] for _ in range(num_steps + 1)]
    del turns[0]  # which warms up
    row = [preset]
    for number, seconds in enumerate(zip(*turns, strict=True)):
        row.append(f"{median(seconds):.2f}")
        if number:
            row.append(f"{median(turn[number] / turn[0] for turn in turns):.2f}")
    return row


def make_noise(num_pictures: int) -> Batch:
    """A batch of pictures alike."""
    return make_noise_batch(
        Size(HEIGHT, WIDTH), num_pictures=num_pictures, num_boxes=NUM_BOXES, num_classes=NUM_CLASSES
    )


def build_gradients(preset: str, *, recomputes: bool) -> Callable[[Sequence[Batch]], object]:
    """What makes the gradients of a step of batches, of the preset's detector with random weights."""
    torch.manual_seed(0)
    settings = [*TRAINS_ALL, f"model.activation_checkpointing={str(recomputes).lower()}"]
    spec = load_spec(preset=preset, settings=settings).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True).train()
    gradients = StepGradients(detector, device=_CPU, numerics=Numerics())

    def make(batches: Sequence[Batch]) -> object:
        detector.zero_grad(set_to_none=True)
        return gradients.make(batches)

    return make


if __name__ == "__main__":
    main()
