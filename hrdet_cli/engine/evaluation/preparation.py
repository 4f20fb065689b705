"""Annotations and detections made ready to be compared: numbered by ids, with the areas that tell sizes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.federated import Federated
from hrdet_cli.engine.data.ground_truth import GroundTruth
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.comparison import Comparison, Objects, PackedRuns, Task

COCO_LIMITS = (1, 10, 100)
"""How many detections of a class in a picture COCO's numbers are of; those of sizes are of the last."""
LVIS_LIMITS = (300,)
"""How many of all classes LVIS's are of."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedComparison:
    """A comparison, and what its numbers stand for in the annotations.

    Pictures and classes are numbered by their ids, on whose order ties and the last bits of scores depend.

    Attributes:
        comparison: Of M pictures, K classes, G objects and D detections; these are in the table's order.
        picture_indices: ``(M,)`` int64, position of each picture in the annotations.
        labels: ``(K,)`` int64, the annotations' label of each class.
        truth_rows: ``(G,)`` int64, row of each object in the ground truth.
        is_left_out: ``(M,)`` bool, pictures that do not count.
    """

    comparison: Comparison
    picture_indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    truth_rows: NDArray[np.int64]
    is_left_out: NDArray[np.bool_]


def prepare_comparisons(
    annotations: CocoAnnotations,
    detections: DetectionTable,
    *,
    left_out: Collection[int] = (),
    more_limits: Sequence[int] = (),
) -> dict[Task, PreparedComparison]:
    """What is to be compared of boxes, and of masks where detections have them.

    All pictures of the annotation file count, but for those left out, also those without a detection. Boxes
    that training drops as too thin count too, as in everybody's COCO numbers. Annotations without ``area``
    get their box's, or their mask's. An object without a mask counts for boxes alone.

    Args:
        annotations: Loaded with their ground truth, and with masks where detections have them.
        detections: Of these pictures, with the annotations' labels. May be none.
        left_out: Ids of pictures that do not count, for nobody has looked at them.
        more_limits: Numbers of detections of a class in a picture that are looked at beside COCO's, above 100
            and ascending. LVIS has one limit.

    Raises:
        ValueError: The annotations were loaded without what the detections are to be compared with, or
            detections are of other pictures, or have boxes or scores that are NaN or infinite: back ends
            would rank them differently.
    """
    truth = annotations.truth
    if truth is None or (detections.masks is not None and truth.masks is None):
        raise ValueError(f"{annotations.path} was loaded without the ground truth that scores need")
    if not np.isin(detections.image_ids, annotations.image_ids).all():
        raise ValueError(f"detections are of pictures that {annotations.path} does not have")
    is_finite = np.isfinite(detections.boxes).all(axis=1) & np.isfinite(detections.scores)
    if not is_finite.all():
        picture = detections.image_ids[~is_finite][0]
        raise ValueError(f"a detection in picture {picture} has a box or a score that is NaN or infinite")
    is_left_out = np.isin(annotations.image_ids, list(left_out))
    does_count = ~is_left_out[truth.picture_indices]
    limits = (*COCO_LIMITS, *more_limits) if truth.federated is None else LVIS_LIMITS

    def prepare(task: Task, rows: NDArray[np.int64]) -> PreparedComparison:
        return _prepare(task, annotations, truth, rows, detections, limits, is_left_out)

    prepared: dict[Task, PreparedComparison] = {"box": prepare("box", np.flatnonzero(does_count))}
    if detections.masks is not None and truth.masks is not None:
        prepared["mask"] = prepare("mask", np.flatnonzero(does_count & truth.masks.is_there))
    return prepared


def _prepare(
    task: Task,
    annotations: CocoAnnotations,
    truth: GroundTruth,
    rows: NDArray[np.int64],
    detections: DetectionTable,
    limits: Sequence[int],
    is_left_out: NDArray[np.bool_],
) -> PreparedComparison:
    by_id, rank_of_picture = _ranks(annotations.image_ids)
    label_by_rank, rank_of_class = _ranks(np.array(annotations.category_ids))
    true_masks: list[PackedRuns] = []
    if task == "mask" and truth.masks is not None:
        sizes = annotations.sizes[truth.picture_indices[rows]].tolist()
        true_masks = [
            {"size": size, "counts": truth.masks.counts_of(row)}
            for row, size in zip(rows.tolist(), sizes, strict=True)
        ]
    found_masks = list(detections.masks or ()) if task == "mask" else []
    areas = truth.areas[rows]
    comparison = Comparison(
        task=task,
        truth=Objects(
            pictures=rank_of_picture[truth.picture_indices[rows]],
            classes=rank_of_class[truth.labels[rows]],
            boxes=truth.boxes[rows],
            areas=np.where(np.isnan(areas), _own_areas(truth.boxes[rows], true_masks), areas),
            masks=true_masks,
        ),
        is_crowd=truth.is_crowd[rows],
        found=Objects(
            pictures=np.searchsorted(annotations.image_ids[by_id], detections.image_ids),
            classes=rank_of_class[detections.labels],
            boxes=detections.boxes,
            areas=_own_areas(detections.boxes, found_masks),
            masks=found_masks,
        ),
        scores=detections.scores,
        picture_sizes=annotations.sizes[by_id],
        num_classes=len(annotations.category_ids),
        limits=limits,
        federated=_ranked(truth.federated, rank_of_picture, rank_of_class),
    )
    return PreparedComparison(comparison, by_id, label_by_rank, rows, is_left_out[by_id])


def _ranked(
    federated: Federated | None, rank_of_picture: NDArray[np.int64], rank_of_class: NDArray[np.int64]
) -> Federated | None:
    if federated is None:
        return None
    by_rank = np.argsort(rank_of_class)

    def ranked(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack([rank_of_picture[pairs[:, 0]], rank_of_class[pairs[:, 1]]], axis=1)

    return Federated(
        ranked(federated.negatives),
        ranked(federated.not_exhaustive),
        tuple(federated.frequencies[label] for label in by_rank.tolist()),
    )


def _ranks(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the lowest id, the next and so on, and for each position the place of its id in that."""
    by_id = np.argsort(ids)
    ranks = np.empty_like(by_id)
    ranks[by_id] = np.arange(len(ids))
    return by_id, ranks


def _own_areas(boxes: NDArray[np.float64], masks: Sequence[PackedRuns]) -> NDArray[np.float64]:
    """Areas of masks, or of boxes where there are no masks."""
    if masks:
        return np.array([coco_mask.area(mask) for mask in masks], dtype=np.float64)
    return boxes[:, 2] * boxes[:, 3]
