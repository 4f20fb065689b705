"""Training steps of presets on a CPU, each made in two ways in turn: processor time of both."""

import argparse
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .family_step import TRAINS_ALL
from .reporting import show_table
from .step_time import HEIGHT, NUM_CLASSES, WIDTH, Step, compare_in_turn, draw_batch, timed_step

Losses = Callable[[Detector, ImageBatch, Targets], dict[str, Tensor]]


def show_steps(
    description: str | None, presets: Sequence[str], ways: Mapping[str, Losses], *, what: str = ""
) -> None:
    """Read the command line, measure, and print a row for each preset.

    Args:
        description: Of the command.
        presets: Those measured by default.
        ways: Two, by their names: what a step makes of a detector with random weights, and its batch.
        what: Both have in common, for the title.
    """
    arguments = _parse_presets(description, presets)
    show_table(
        f"Training step, 1 picture of {WIDTH}x{HEIGHT}, {what}{arguments.threads} threads, CPU seconds, "
        f"medians of {arguments.steps} steps; {torch.backends.cpu.get_cpu_capability()}",
        ["preset", *ways, "ratio"],
        [
            compare_in_turn(
                preset, *(build_step(preset, losses) for losses in ways.values()), rounds=arguments.steps
            )
            for preset in arguments.presets
        ],
    )


def _parse_presets(description: str | None, presets: Sequence[str]) -> argparse.Namespace:
    """``presets``, ``steps`` and ``threads``, which are set, of a program that compares steps of presets.

    Args:
        description: What the program does.
        presets: Those of which it makes steps where none are named.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("presets", nargs="*", default=presets)
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments


def build_step(preset: str, losses: Losses) -> Step:
    """A step of the preset's detector."""
    images, targets = draw_batch(1)
    torch.manual_seed(0)
    spec = load_spec(preset=preset, settings=TRAINS_ALL).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    return timed_step(detector, lambda: losses(detector, images, targets))
