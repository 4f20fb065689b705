"""How much detections overlap the objects of their class, as pycocotools computes it."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.evaluation.comparison import Comparison

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class OverlappingPairs:
    """P pairs of a detection and an object of the same class and picture.

    Attributes:
        found: ``(P,)`` rows of detections; those of one stand together.
        true: ``(P,)`` rows of objects, those of one detection ascending.
        overlaps: ``(P,)`` float64: intersection over union, or over the detection's own area where the object
            is a crowd region.
    """

    found: Rows
    true: Rows
    overlaps: NDArray[np.float64]


def find_pairs(comparison: Comparison, rows: Rows, *, least: float) -> OverlappingPairs:
    """The pairs that overlap.

    Args:
        comparison: Both sides.
        rows: ``(R,)`` the detections to look at.
        least: The least overlap that counts.
    """
    true_groups, found_groups = map(comparison.groups_of, (comparison.truth, comparison.found))
    objects = np.argsort(true_groups, kind="stable")
    rows = rows[np.argsort(found_groups[rows], kind="stable")]
    first, last = (
        np.searchsorted(true_groups[objects], found_groups[rows], side=side) for side in ("left", "right")
    )
    counts = last - first
    found = np.repeat(rows, counts)
    places = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
    true = objects[np.repeat(first, counts) + places]
    overlaps = (_box_overlaps if comparison.task == "box" else _mask_overlaps)(comparison, found, true)
    is_near = overlaps >= least
    return OverlappingPairs(found[is_near], true[is_near], overlaps[is_near])


def _box_overlaps(comparison: Comparison, found: Rows, true: Rows) -> NDArray[np.float64]:
    """As ``bbIou`` of pycocotools' ``maskApi.c``, to the bit."""
    boxes, objects = comparison.found.boxes[found], comparison.truth.boxes[true]
    ends = np.minimum(boxes[:, 2:] + boxes[:, :2], objects[:, 2:] + objects[:, :2])
    sides = ends - np.maximum(boxes[:, :2], objects[:, :2])
    common = sides[:, 0] * sides[:, 1]
    own, other = boxes[:, 2] * boxes[:, 3], objects[:, 2] * objects[:, 3]
    whole = np.where(comparison.is_crowd[true], own, own + other - common)
    overlaps = np.zeros(len(found))
    np.divide(common, whole, out=overlaps, where=(sides > 0).all(axis=1))
    return overlaps


def _mask_overlaps(comparison: Comparison, found: Rows, true: Rows) -> NDArray[np.float64]:
    """By pycocotools, for all detections and objects of a class in a picture at once."""
    overlaps = np.zeros(len(found))
    starts = np.flatnonzero(np.diff(comparison.groups_of(comparison.truth)[true], prepend=-1))
    for start, end in itertools.pairwise([*starts.tolist(), len(true)]):
        num_objects = int((found[start:end] == found[start]).sum())
        objects = true[start : start + num_objects]
        overlaps[start:end] = coco_mask.iou(
            [comparison.found.masks[row] for row in found[start:end:num_objects]],
            [comparison.truth.masks[row] for row in objects],
            comparison.is_crowd[objects].astype(np.uint8).tolist(),
        ).ravel()
    return overlaps
