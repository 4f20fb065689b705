"""Training steps on a CPU whose features lie channels-last or not, in turn: processor time of each.

``Detector`` decides by the processor and the width of the convolutions; this shows what the other decision
costs.
"""

import torch

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

PRESETS = ("demo", "hrnet-w18", "r50-fpn-syncbn", "mmdet3-retinanet-r50-fpn")


def main() -> None:
    """Print a row for each preset."""
    arguments = parse_presets(__doc__, PRESETS)
    show_table(
        f"Training step, 1 picture of {WIDTH}x{HEIGHT}, float32, {arguments.threads} threads, CPU seconds, "
        f"medians of {arguments.steps} steps; {torch.backends.cpu.get_cpu_capability()}",
        ["preset", "NCHW", "channels-last", "ratio"],
        [
            compare_in_turn(
                preset,
                build_step(preset, is_nchw=True),
                build_step(preset, is_nchw=False),
                rounds=arguments.steps,
            )
            for preset in arguments.presets
        ],
    )


def build_step(preset: str, *, is_nchw: bool) -> Step:
    """A step of the preset's detector with random weights, whose features lie as they are told."""
    images, targets = draw_batch(1)
    torch.manual_seed(0)
    spec = load_spec(preset=preset, settings=TRAINS_ALL).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    detector.is_nchw_to_train_on_cpu = is_nchw
    return timed_step(detector, lambda: detector(images, targets))


if __name__ == "__main__":
    main()
