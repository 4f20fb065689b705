"""From spec to engine: what draws regions and what looks at them."""

from typing import Protocol

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import HardSampler, Sampler
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE
from hrdet_cli.runs.build.boxes import build_box_loss
from hrdet_cli.runs.build.rpn import RPN_STREAM
from hrdet_cli.specs.heads.regions import RegionHeadSpec
from hrdet_cli.specs.heads.semantic import SemanticSpec
from hrdet_cli.specs.model import ModelSpec

FIRST_REGION_STREAM = RPN_STREAM + 1
"""The stream of a picture's key that the first stage draws regions from; each further one takes the next."""


class MatchingSpec(Protocol):
    """A section that says which regions learn which boxes."""

    @property
    def positive_iou(self) -> float:
        """Positive regions overlap a box at least this much."""

    @property
    def min_positive_iou(self) -> float | None:
        """A box claims its best regions if they overlap it at least this much."""


def build_region_draw(
    head: RegionHeadSpec, matching: MatchingSpec, *, num_classes: int, stream: int
) -> RegionDraw:
    """What draws the regions that a stage is trained on.

    Args:
        head: How many are drawn, and how.
        matching: What the stage takes for positive.
        num_classes: K, without the background.
        stream: The stage's stream of a picture's key.
    """
    sampler = (
        Sampler(num_samples=head.num_samples, positive_fraction=head.positive_fraction, stream=stream)
        if head.sampling == "random"
        else HardSampler(num_samples=head.num_samples, positive_fraction=head.positive_fraction)
    )
    return RegionDraw(
        num_classes=num_classes,
        matcher=Matcher(
            positive_iou=matching.positive_iou,
            negative_iou=matching.positive_iou,
            min_positive_iou=matching.min_positive_iou,
        ),
        sampler=sampler,
    )


class PoolingSpec(Protocol):
    """A section that says how regions are cut out."""

    @property
    def pool_cells(self) -> int:
        """Cells per side of the result."""

    @property
    def pool_sampling_ratio(self) -> int:
        """Samples per cell and axis; 0 adapts."""

    @property
    def pool_aligned(self) -> bool:
        """Whether cells are centred."""


def build_region_pooling(
    pooling: PoolingSpec, *, strides: tuple[int, ...], semantic: SemanticSpec | None = None
) -> RegionPooling:
    """What cuts regions out of a pyramid, of which the coarsest level only proposes.

    Args:
        pooling: How.
        strides: Of the pyramid's levels.
        semantic: Of a head with a semantic branch, whose features are added.
    """
    return _build_pooling(
        pooling,
        strides=strides[:-1],
        semantic=None if semantic is None else _build_pooling(semantic, strides=(LABEL_MAP_STRIDE,)),
    )


def _build_pooling(
    pooling: PoolingSpec, *, strides: tuple[int, ...], semantic: RegionPooling | None = None
) -> RegionPooling:
    return RegionPooling(
        strides=strides,
        cells=pooling.pool_cells,
        sampling_ratio=pooling.pool_sampling_ratio,
        aligned=pooling.pool_aligned,
        semantic=semantic,
    )


def build_box_stage(
    model: ModelSpec,
    head: RegionHeadSpec,
    coder: BoxCoder,
    *,
    num_classes: int,
    strides: tuple[int, ...],
    class_agnostic_boxes: bool,
    semantic: SemanticSpec | None = None,
) -> BoxStage:
    """What looks at regions of a pyramid, of which the coarsest level only proposes.

    Args:
        model: The detector it is in.
        head: What all of its stages have alike.
        coder: The stage's.
        num_classes: K, without the background.
        strides: Of the pyramid's levels.
        class_agnostic_boxes: One box for a region, not one for each class.
        semantic: Of a head with a semantic branch, whose features are added.
    """
    return BoxStage(
        in_channels=model.neck.channels,
        num_classes=num_classes,
        pooling=build_region_pooling(head, strides=strides, semantic=semantic),
        num_convs=head.num_convs,
        conv_channels=head.conv_channels,
        norm=head.norm,
        num_hidden_layers=head.num_hidden_layers,
        hidden_features=head.hidden_features,
        class_agnostic_boxes=class_agnostic_boxes,
        coder=coder,
        box_loss=build_box_loss(head.box_loss),
    )
