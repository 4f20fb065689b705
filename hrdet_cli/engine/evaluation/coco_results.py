"""Detections of a data set as columns, and in COCO's results format."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # who reads detections from a file needs no torch
    from torch import Tensor

    from hrdet_cli.engine.evaluation.picture_detections import PictureDetections

_DECIMALS = 3
"""Of coordinates: a thousandth of a pixel halves the file and is far below what a metric can see."""


class CocoResult(TypedDict):
    """One detection in COCO's results format.

    Attributes:
        segmentation: The mask's ``size`` and run-length encoded ``counts``; where masks were looked for.
    """

    image_id: int
    category_id: int
    bbox: list[float]
    score: float
    segmentation: NotRequired[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionTable:
    """D detections of a data set, by image id, and within a picture best first.

    Attributes:
        image_ids: ``(D,)`` int64.
        labels: ``(D,)`` int64.
        boxes: ``(D, 4)`` float64, x, y, width and height, rounded to a thousandth of a pixel.
        scores: ``(D,)`` float64 with every digit: on their order, ties included, average precision depends.
        masks: D of them as COCO's JSON has them; None where masks were not looked for.
    """

    image_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    masks: Sequence[dict[str, Any]] | None = None

    @classmethod
    def of(cls, pictures: Iterable["PictureDetections"]) -> Self:
        """Those of pictures in any order."""
        in_order = sorted(pictures, key=lambda picture: picture.image_id)
        masks = [picture.masks.to_json() for picture in in_order if picture.masks is not None]
        corners = _joined(np.zeros((0, 4)), [picture.boxes for picture in in_order])
        return cls(
            image_ids=np.repeat(
                np.array([picture.image_id for picture in in_order], dtype=np.int64),
                [len(picture.boxes) for picture in in_order],
            ),
            labels=_joined(np.zeros(0, dtype=np.int64), [picture.labels for picture in in_order]),
            boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).round(_DECIMALS),
            scores=_joined(np.zeros(0), [picture.scores for picture in in_order]),
            masks=[mask for of_picture in masks for mask in of_picture] if masks else None,
        )

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Those that have ``(R,)`` ascending numbers."""
        return type(self)(
            image_ids=self.image_ids[rows],
            labels=self.labels[rows],
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            masks=None if self.masks is None else [self.masks[row] for row in rows.tolist()],
        )

    def results(self, category_ids: Sequence[int]) -> list[CocoResult]:
        """Results that ``json.dump`` takes, in the table's order.

        Args:
            category_ids: Category id in the annotation file of each of the K labels.
        """
        rows = zip(
            self.image_ids.tolist(),
            np.array(category_ids)[self.labels].tolist(),
            self.boxes.tolist(),
            self.scores.tolist(),
            strict=True,
        )
        results = [
            CocoResult(image_id=image_id, category_id=category_id, bbox=box, score=score)
            for image_id, category_id, box, score in rows
        ]
        for result, mask in zip(results, self.masks or (), strict=self.masks is not None):
            result["segmentation"] = mask
        return results


def _joined(none: NDArray[Any], parts: Iterable["Tensor"]) -> NDArray[Any]:
    """The rows of all parts, with the type of numbers that ``none`` has, whose rows are none."""
    return np.concatenate([none, *(part.numpy() for part in parts)])
