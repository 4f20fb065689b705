"""Decides which ground-truth box, if any, each point is to learn.

Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, arXiv:1904.01355, section 3.2: a point
learns a box around it whose farthest side is about as far away as its level is meant for; of several the
smallest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.dense.points import Points
from hrdet_cli.engine.structures import Targets

# As for anchors: a few boxes at a time, and a running minimum.
_GROUND_TRUTH_CHUNK = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PointMatcher:
    """Matches by place and size.

    Attributes:
        range_ends: In pixels, where one level's range of distances ends and the next one's begins; one fewer
            than there are levels. The distance is that from a point to the farthest side of a box; one that
            is exactly an end belongs to both levels, as in mmdetection.
        centre_radius: A point learns only boxes whose centre is less than this many strides of its level away
            on either axis; None takes all of a box's points.
    """

    range_ends: tuple[float, ...]
    centre_radius: float | None

    def match(self, points: Points, is_candidate: Tensor, targets: Targets) -> Matches:
        """Match the points of each picture with its ground truth.

        Args:
            points: A points.
            is_candidate: ``(N, A)`` bool; the others become neither positive nor negative.
            targets: Ground truth of N pictures, at least one row.

        Returns:
            The matches; every candidate is positive or negative. Of boxes with the same area the first one's.
        """
        least = _of_points(points, (-torch.inf, *self.range_ends))
        most = _of_points(points, (*self.range_ends, torch.inf))
        smallest = torch.full_like(is_candidate, torch.inf, dtype=targets.boxes.dtype)
        index = torch.zeros_like(is_candidate, dtype=torch.int32)
        for start in range(0, targets.boxes.shape[1], _GROUND_TRUTH_CHUNK):
            rows = slice(start, start + _GROUND_TRUTH_CHUNK)
            boxes = targets.boxes[:, rows]
            distances = distances_to_sides(points.places, boxes[:, :, None])
            farthest = distances.amax(dim=-1)
            fits = (distances.amin(dim=-1) > 0) & (farthest >= least) & (farthest <= most)
            if self.centre_radius is not None:
                fits &= self._is_central(points, boxes, radius=self.centre_radius)
            fits &= targets.is_valid[:, rows, None] & is_candidate[:, None]
            sides = boxes[..., 2:] - boxes[..., :2]
            areas = sides.prod(dim=-1)[..., None].where(fits, torch.inf)
            chunk_smallest, chunk_index = areas.min(dim=1)
            chunk_index = chunk_index.to(torch.int32) + start
            index = torch.where(chunk_smallest < smallest, chunk_index, index)
            smallest = torch.minimum(smallest, chunk_smallest)
        is_positive = smallest < torch.inf
        return Matches(
            target_index=index.to(torch.int64),
            is_positive=is_positive,
            is_negative=is_candidate & ~is_positive,
        )

    @staticmethod
    def _is_central(points: Points, boxes: Tensor, *, radius: float) -> Tensor:
        """``(N, B, A)``: whether a point lies around the centre of a box."""
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2
        offsets = (points.places - centres[:, :, None]).abs().amax(dim=-1)
        return offsets < points.strides * radius


def _of_points(points: Points, of_levels: Sequence[float]) -> Tensor:
    """``(A,)``: what belongs to the level of each point."""
    parts = [
        points.strides.new_full((length,), value)
        for length, value in zip(points.level_lengths, of_levels, strict=True)
    ]
    return torch.cat(parts)


def distances_to_sides(places: Tensor, boxes: Tensor) -> Tensor:
    """How far the four sides of boxes are from points, positive inside.

    Args:
        places: ``(..., 2)``, x and y.
        boxes: ``(..., 4)``, broadcastable.

    Returns:
        ``(..., 4)``: left, top, right, bottom.
    """
    return torch.cat((places - boxes[..., :2], boxes[..., 2:] - places), dim=-1)


def boxes_around(places: Tensor, distances: Tensor) -> Tensor:
    """Boxes ``(..., 4)`` with sides at distances ``(..., 4)`` from points ``(..., 2)``."""
    return torch.cat((places - distances[..., :2], places + distances[..., 2:]), dim=-1)
