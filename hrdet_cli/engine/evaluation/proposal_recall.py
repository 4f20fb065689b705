"""How many objects are among the best 300 or 1000 detections of each picture, of whatever class they are.

That is how proposals are measured: the mean over COCO's overlaps, as pycocotools would compute it with these
numbers of detections, which it needs hours for.  Of detections without sufficient overlap with any object
nothing depends, so only the others are gone through, at all overlaps and sizes at once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
LIMITS = (300, 1000)
"""Detections of a picture."""
AREAS: Mapping[str, tuple[float, float]] = {
    "": (0, 1e10),
    "s": (0, 32**2),
    "m": (32**2, 96**2),
    "l": (96**2, 1e10),
}
"""COCO's sizes of objects in square pixels; both ends belong to a size."""


def proposal_recalls(
    truth: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """Average recalls: ``AR300`` and ``AR1000``, and ``ARs1000``, ``ARm1000``, ``ARl1000`` of sizes.

    Args:
        truth: Annotations with ``image_id``, ``bbox``, ``area`` (None is the box's) and ``iscrowd``.
        results: Detections with ``image_id``, ``bbox`` and ``score``.

    Returns:
        In [0, 1]; None where there is no object of that size.
    """
    objects, detections = _by_picture(truth), _by_picture(results)
    num_found = np.zeros((len(LIMITS), len(IOU_THRESHOLDS), len(AREAS)), dtype=np.int64)
    num_objects = np.zeros(len(AREAS), dtype=np.int64)
    for image_id, items in objects.items():
        single = [item for item in items if not item["iscrowd"]]
        if not single:
            continue
        picture = _Picture.of(single, detections.get(image_id, []))
        num_objects += picture.is_of_size.sum(axis=1)
        num_found += picture.num_found()
    recalls = {
        f"AR{size}{limit}": float((num_found[row, :, column] / num_objects[column]).mean())
        if num_objects[column]
        else None
        for row, limit in enumerate(LIMITS)
        for column, size in enumerate(AREAS)
    }
    return {name: value for name, value in recalls.items() if name == "AR300" or name.endswith("1000")}


def _by_picture(items: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found = defaultdict(list)
    for item in items:
        found[item["image_id"]].append(item)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """A picture's G objects and D detections, best first.

    Attributes:
        overlaps: ``(D, G)`` float64.
        is_of_size: ``(A, G)`` bool, for each size whether an object is of it.
    """

    overlaps: NDArray[np.float64]
    is_of_size: NDArray[np.bool_]

    @classmethod
    def of(cls, objects: Sequence[Mapping[str, Any]], detections: Sequence[Mapping[str, Any]]) -> "_Picture":
        scores = np.array([detection["score"] for detection in detections])
        order = np.argsort(-scores, kind="stable")[: max(LIMITS)]
        boxes = np.array([detections[row]["bbox"] for row in order], dtype=np.float64).reshape(-1, 4)
        wanted = np.array([item["bbox"] for item in objects], dtype=np.float64)
        areas = np.array(
            [
                width * height if item.get("area") is None else item["area"]
                for item, (*_, width, height) in zip(objects, wanted.tolist(), strict=True)
            ]
        )
        overlaps = np.zeros((0, len(objects)))
        if len(boxes):
            overlaps = np.asarray(coco_mask.iou(boxes, wanted, [0] * len(objects)))
        return cls(
            overlaps=overlaps,
            is_of_size=np.stack([(areas >= least) & (areas <= most) for least, most in AREAS.values()]),
        )

    def num_found(self) -> NDArray[np.int64]:
        """``(limits, overlaps, sizes)``: objects that have a detection among so many of their own.

        The best detection comes first, and takes of the objects that have none the one it overlaps most.
        """
        is_found = np.zeros((len(IOU_THRESHOLDS), *self.is_of_size.shape), dtype=np.bool_)
        counts = np.zeros((len(LIMITS), len(IOU_THRESHOLDS), len(self.is_of_size)), dtype=np.int64)
        rows = np.flatnonzero(self.overlaps.max(axis=1, initial=0) >= IOU_THRESHOLDS[0])
        start = 0
        for index, end in enumerate(LIMITS):
            for row in rows[(rows >= start) & (rows < end)]:
                self._take(row, is_found)
            counts[index] = is_found.sum(axis=2)
            start = end
        return counts

    def _take(self, row: int, is_found: NDArray[np.bool_]) -> None:
        """Let a detection take its object at each overlap and size, in place."""
        overlap = self.overlaps[row]
        is_free = self.is_of_size & ~is_found & (overlap >= IOU_THRESHOLDS[:, None, None])
        # Of equal ones pycocotools takes the last.
        best = len(overlap) - 1 - np.where(is_free, overlap, -1.0)[..., ::-1].argmax(axis=2)
        is_found |= is_free & (np.arange(len(overlap)) == best[..., None])
