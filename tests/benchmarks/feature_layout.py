"""Training steps on a CPU whose features lie channels-last or not, in turn: processor time of each.

``Detector`` decides by the processor and the width of the convolutions; this shows what the other decision
costs.
"""

from functools import partial

from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch, Targets

from .preset_steps import show_steps

PRESETS = ("demo", "hrnet-w18", "r50-fpn-syncbn", "mmdet3-retinanet-r50-fpn")


def main() -> None:
    """Print a row for each preset."""
    ways = {name: partial(losses, is_nchw=name == "NCHW") for name in ("NCHW", "channels-last")}
    show_steps(__doc__, PRESETS, ways, what="float32, ")


def losses(detector: Detector, images: ImageBatch, targets: Targets, *, is_nchw: bool) -> dict[str, Tensor]:
    """Those of a detector whose features lie as they are told."""
    detector.is_nchw_to_train_on_cpu = is_nchw
    by_name: dict[str, Tensor] = detector(images, targets)
    return by_name


if __name__ == "__main__":
    main()
