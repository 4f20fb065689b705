"""What heads of several kinds say of boxes: how they are coded and lost, how detections are selected."""

from collections.abc import Iterator
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from hrdet_cli.specs.base import Fraction, Problem, Spec

BoxMeans = tuple[float, float, float, float]
BoxStds = tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat]
BoxClamp = Literal["both", "enlarging"]


class BoxLossSpec(Spec):
    """Loss on encoded box deltas."""

    kind: Literal["smooth_l1", "l1"]
    """`smooth_l1` as in 2019, `l1` as in mmdetection 3."""
    beta: PositiveFloat | None = None
    """Where smooth-L1 turns from square to linear; only with `smooth_l1`, and needed there."""

    def problems(self) -> Iterator[Problem]:
        """A kind without what it needs, or with what it has no use for."""
        if (self.kind == "smooth_l1") != (self.beta is not None):
            needed = "needs a beta" if self.kind == "smooth_l1" else "takes no beta"
            yield "beta", f"box_loss.kind '{self.kind}' {needed}"


class OverlapLossSpec(Spec):
    """Loss on the boxes that predicted deltas make."""

    kind: Literal["iou", "giou"]
    """The negative logarithm of the overlap (iou), or 1 less the generalised one (giou, as in torchvision's
    second RetinaNet)."""


class SoftNmsSpec(Spec):
    """Soft-NMS (arXiv:1704.04503): boxes that overlap a better one lose score instead of being dropped."""

    decay: Literal["linear", "gaussian"] = "linear"
    """`linear` multiplies by 1 - IoU from `nms_iou` on; `gaussian` by exp(-IoU^2 / sigma) at any IoU."""
    sigma: PositiveFloat = 0.5
    """Width of the gaussian decay; `linear` has none."""
    min_score: Fraction = 0.05
    """A detection whose score sinks below this is dropped."""


class SelectionSpec(Spec):
    """Which candidates become detections."""

    score_threshold: Fraction = 0.05
    """Detections with a lower score are dropped."""
    min_side_pixels: NonNegativeFloat = 0
    """Detections with a shorter side are dropped, and always those without area."""
    nms_iou: Fraction = 0.5
    """A detection that overlaps a better one of its class more than this is dropped, or loses score."""
    soft_nms: SoftNmsSpec | None = None
    """Soft-NMS instead of the hard one; null drops."""
    max_detections: PositiveInt = 100
    """Detections kept per picture."""
