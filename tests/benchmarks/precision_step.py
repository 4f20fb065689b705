"""Training steps on a CPU in float32 and with bfloat16 autocast, in turn: processor time of each.

What ``run.precision`` makes of a step there; processors differ in what bfloat16 costs them.
"""

import torch

from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .family_step import TRAINS_ALL
from .reporting import show_table
from .step_time import (
    HEIGHT,
    NUM_CLASSES,
    WIDTH,
    Step,
    compare_in_turn,
    draw_batch,
    parse_presets,
    timed_step,
)

PRESETS = ("demo", "hrnet-w18", "r50-fpn-syncbn")


def main() -> None:
    """Print a row for each preset."""
    arguments = parse_presets(__doc__, PRESETS)
    show_table(
        f"Training step, 1 picture of {WIDTH}x{HEIGHT}, {arguments.threads} threads, CPU seconds, "
        f"medians of {arguments.steps} steps; {torch.backends.cpu.get_cpu_capability()}",
        ["preset", "bfloat16", "float32", "ratio"],
        [
            compare_in_turn(
                preset,
                build_step(preset, Numerics(autocast=torch.bfloat16)),
                build_step(preset, Numerics()),
                rounds=arguments.steps,
            )
            for preset in arguments.presets
        ],
    )


def build_step(preset: str, numerics: Numerics) -> Step:
    """A step of the preset's detector with random weights, computed as it is told."""
    images, targets = draw_batch(1)
    torch.manual_seed(0)
    spec = load_spec(preset=preset, settings=TRAINS_ALL).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)

    def losses() -> dict[str, torch.Tensor]:
        with numerics.forward_pass("cpu"):
            by_name: dict[str, torch.Tensor] = detector(images, targets)
        return by_name

    return timed_step(detector, losses)


if __name__ == "__main__":
    main()
