"""What a scale makes of a data set's pictures and boxes, whatever is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.padding import PaddingPolicy
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.step_layout import place_picture
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit, PlacedBoxes
from hrdet_cli.runs.inspect_batch.moved_boxes import MovedBoxes, move_targets

LOW_QUANTILE = 0.05
"""So many of the boxes are smaller than the side that is given for them."""


@dataclass(frozen=True, slots=True)
class ScaleSummary:
    """Pictures and boxes at one scale.

    Attributes:
        scale: ``(long, short)``.
        num_pictures: Pictures looked at.
        enlarged_share: Share of them that the scale makes larger than they are.
        num_boxes: Boxes that stay.
        num_lost: Boxes whose centre a crop cuts off.
        num_clipped: Boxes that a crop makes smaller.
        smallest_side: Pixels of the shortest side of a box, on the canvas; None without boxes.
        low_side: The side that the smallest 5 % of the boxes (by their shorter side) stay below.
        median_side: That half of the boxes stay below.
        anchor_recall: For overlaps, the share of boxes that some anchor which takes part in training overlaps
            at least so much; None without boxes, and without anchors.
    """

    scale: Scale
    num_pictures: int
    enlarged_share: float
    num_boxes: int
    num_lost: int
    num_clipped: int
    smallest_side: float | None
    low_side: float | None
    median_side: float | None
    anchor_recall: Mapping[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        recall = None
        if self.anchor_recall is not None:
            recall = {f"{overlap:g}": share for overlap, share in self.anchor_recall.items()}
        return asdict(self) | {"scale": [self.scale.long, self.scale.short], "anchor_recall": recall}


def listed_scales(augmentation: Augmentation, *, most: int) -> tuple[Scale, ...]:
    """The scales an augmentation draws, the smallest first; of many, some evenly spread, ends included."""
    scales = sorted(
        set(augmentation.typical_scales()), key=lambda scale: (scale.long * scale.short, scale.long)
    )
    if len(scales) <= most:
        return tuple(scales)
    return tuple(scales[position] for position in np.linspace(0, len(scales) - 1, most).round().astype(int))


def summarise_scale(
    scale: Scale,
    annotations: CocoAnnotations,
    indices: Sequence[int],
    *,
    augmentation: Augmentation,
    padding: PaddingPolicy,
    anchors: AnchorFit | None,
    overlaps: Sequence[float],
    seed: int,
    epoch: int,
) -> ScaleSummary:
    """Place pictures at a scale and look at their boxes.

    Each picture lies on the canvas it would get alone, which decides where anchors end.

    Args:
        scale: The scale.
        annotations: Sizes and boxes.
        indices: Positions of the pictures.
        augmentation: Resizes, and perhaps crops.
        padding: Gives canvases.
        anchors: The anchors of the detector; None where it has none.
        overlaps: What recall is given for.
        seed: The run's seed, which crops depend on.
        epoch: Counted from 0; likewise.

    Raises:
        DataError: A picture fits no canvas.
    """
    moved: list[MovedBoxes] = []
    sizes: list[tuple[int, int, int, int]] = []
    num_enlarged = 0
    for index in indices:
        placement = place_picture(
            annotations, augmentation, seed=seed, epoch=epoch, showing=Showing(index), scale=scale
        )
        canvas, placed = padding.canvas_for([placement.placed]), placement.placed
        num_enlarged += placement.resized.num_pixels > annotations.size_of(index).num_pixels
        moved.append(move_targets(annotations, index, placement))
        sizes.append((placed.height, placed.width, canvas.height, canvas.width))
    size_of_box = np.repeat(np.array(sizes, dtype=np.int64), [len(m.boxes) for m in moved], axis=0)
    boxes = np.concatenate([m.boxes for m in moved]).astype(np.float64)
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    smallest, low, median = _quantiles(sides)
    placed_boxes = PlacedBoxes(boxes, size_of_box[:, :2], size_of_box[:, 2:])
    return ScaleSummary(
        scale=scale,
        num_pictures=len(indices),
        enlarged_share=num_enlarged / len(indices),
        num_boxes=len(boxes),
        num_lost=sum(m.num_lost for m in moved),
        num_clipped=sum(m.num_clipped for m in moved),
        smallest_side=smallest,
        low_side=low,
        median_side=median,
        anchor_recall=None if anchors is None else _recall(anchors.best_iou(placed_boxes), overlaps),
    )


def _quantiles(sides: NDArray[np.float64]) -> tuple[float, float, float] | tuple[None, None, None]:
    if not len(sides):
        return None, None, None
    smallest, low, median = np.quantile(sides, [0, LOW_QUANTILE, 0.5]).tolist()
    return smallest, low, median


def _recall(best_iou: NDArray[np.float64], overlaps: Sequence[float]) -> dict[float, float] | None:
    if not len(best_iou):
        return None
    return {overlap: float((best_iou >= overlap).mean()) for overlap in overlaps}
