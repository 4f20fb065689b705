"""From spec to engine: what heads of several kinds do with boxes."""

from typing import Protocol

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.specs.heads.boxes import BoxClamp, BoxLossSpec, BoxMeans, BoxStds, SelectionSpec
from hrdet_cli.specs.model import ModelSpec


class CodingSpec(Protocol):
    """A section that says how boxes are coded."""

    @property
    def box_means(self) -> BoxMeans:
        """Subtracted from the deltas."""

    @property
    def box_stds(self) -> BoxStds:
        """Divide them after that."""

    @property
    def box_clamp(self) -> BoxClamp:
        """How far a side may be changed."""


def build_coder(spec: CodingSpec) -> BoxCoder:
    """What encodes and decodes boxes."""
    return BoxCoder(stds=spec.box_stds, means=spec.box_means, clamp=spec.box_clamp)


def build_box_loss(loss: BoxLossSpec) -> BoxLoss:
    """The loss on encoded boxes."""
    return BoxLoss(kind=loss.kind, beta=loss.beta)


def build_selector(model: ModelSpec, selection: SelectionSpec) -> DetectionSelector:
    """What makes detections of candidates."""
    soft_nms = selection.soft_nms
    return DetectionSelector(
        score_threshold=selection.score_threshold,
        nms_iou=selection.nms_iou,
        max_detections=selection.max_detections,
        clipping=BoxClipping(corners=model.box_corners, min_side_pixels=selection.min_side_pixels),
        soft_nms=None
        if soft_nms is None
        else SoftNms(decay=soft_nms.decay, sigma=soft_nms.sigma, min_score=soft_nms.min_score),
    )
