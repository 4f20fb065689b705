"""Training steps on a CPU in float32 and with bfloat16 autocast, in turn: processor time of each.

What ``run.precision`` makes of a step there; processors differ in what bfloat16 costs them.
"""

from functools import partial

import torch
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets

from .preset_steps import show_steps

PRESETS = ("demo", "hrnet-w18", "r50-fpn-syncbn")


def main() -> None:
    """Print a row for each preset."""
    numerics = (Numerics(autocast=torch.bfloat16), Numerics())
    show_steps(__doc__, PRESETS, {way.name: partial(losses, numerics=way) for way in numerics})


def losses(
    detector: Detector, images: ImageBatch, targets: Targets, *, numerics: Numerics
) -> dict[str, Tensor]:
    """Those of a detector that is computed as it is told."""
    with numerics.forward_pass("cpu"):
        by_name: dict[str, Tensor] = detector(images, targets)
    return by_name


if __name__ == "__main__":
    main()
