"""Steps of presets whose HRFPN mixes maps and then enlarges them, or concatenates enlarged ones, in turn."""

import pytest
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.structures import ImageBatch, Targets

from .preset_steps import show_steps

PRESETS = ("demo", "hrnet-w18", "hrnet-w32")


def main() -> None:
    """Print a row for each preset."""
    show_steps(
        __doc__,
        PRESETS,
        {"mixed first": Detector.__call__, "enlarged first": _enlarged_first},
        what="float32, ",
    )


def _enlarged_first(detector: Detector, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HRFPN, "_mixed_apart", HRFPN._mixed_together)
        losses: dict[str, Tensor] = detector(images, targets)
    return losses


if __name__ == "__main__":
    main()
