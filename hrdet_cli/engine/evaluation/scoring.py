"""Detections are scored: prepared for the comparison, and its curves averaged to COCO's numbers."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.federated import FREQUENCIES, Federated
from hrdet_cli.engine.data.ground_truth import GroundTruth
from hrdet_cli.engine.evaluation.back_ends import BackEnd, compare
from hrdet_cli.engine.evaluation.coco_metrics import ClassMetrics, CocoMetrics, TaskMetrics
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.comparison import (
    IOU_THRESHOLDS,
    RECALLS,
    SIZES,
    Comparison,
    Curves,
    Objects,
    PackedRuns,
    Task,
)

COCO_LIMITS = (1, 10, 100)
"""How many detections of a class in a picture COCO's numbers are of; those of sizes are of the last."""
LVIS_LIMITS = (300,)
"""How many of all classes LVIS's are of."""


def score_detections(
    annotations: CocoAnnotations,
    detections: DetectionTable,
    *,
    left_out: Collection[int] = (),
    more_limits: Sequence[int] = (),
    back_end: BackEnd = "hotcoco",
) -> CocoMetrics:
    """Compare detections with the ground truth.

    All pictures of the annotation file count, but for those left out, also those without a detection. Boxes
    that training drops as too thin count too, as in everybody's COCO numbers. Annotations without ``area``
    get their box's, or their mask's. An object without a mask counts for boxes alone. LVIS's annotations are
    scored by LVIS's rules; `compare` has them.

    Args:
        annotations: Loaded with their ground truth, and with masks where detections have them.
        detections: Of these pictures, with the annotations' labels. May be none.
        left_out: Ids of pictures that do not count, for nobody has looked at them.
        more_limits: Numbers of detections of a class in a picture, above COCO's 100 and ascending, whose
            recalls come behind the twelve numbers; with the precision and the recalls of sizes of the last.
            LVIS has one limit.
        back_end: What compares; both give the same numbers.

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
    does_count = ~np.isin(annotations.image_ids[truth.picture_indices], list(left_out))
    limits = (*COCO_LIMITS, *more_limits) if truth.federated is None else LVIS_LIMITS

    def score(task: Task, rows: NDArray[np.int64]) -> TaskMetrics:
        comparison = _comparison(task, annotations, truth, rows, detections, limits)
        return _metrics_of(compare(comparison, back_end), comparison, annotations)

    tasks: dict[Task, TaskMetrics] = {"box": score("box", np.flatnonzero(does_count))}
    if detections.masks is not None and truth.masks is not None:
        tasks["mask"] = score("mask", np.flatnonzero(does_count & truth.masks.is_there))
    return CocoMetrics(tasks)


def _comparison(
    task: Task,
    annotations: CocoAnnotations,
    truth: GroundTruth,
    rows: NDArray[np.int64],
    detections: DetectionTable,
    limits: Sequence[int],
) -> Comparison:
    """Pictures and classes are numbered by their ids, on whose order ties and the last bits depend."""
    by_id, rank_of_picture = _ranks(annotations.image_ids)
    _, rank_of_class = _ranks(np.array(annotations.category_ids))
    true_masks: list[PackedRuns] = []
    if task == "mask" and truth.masks is not None:
        sizes = annotations.sizes[truth.picture_indices[rows]].tolist()
        true_masks = [
            {"size": size, "counts": truth.masks.counts_of(row)}
            for row, size in zip(rows.tolist(), sizes, strict=True)
        ]
    found_masks = list(detections.masks or ()) if task == "mask" else []
    areas = truth.areas[rows]
    return Comparison(
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


def _metrics_of(curves: Curves, comparison: Comparison, annotations: CocoAnnotations) -> TaskMetrics:
    _, columns = _ranks(np.array(annotations.category_ids))
    federated = comparison.federated
    of_coco = curves.precision[..., 0, len(COCO_LIMITS) - 1 if federated is None else -1]
    averaged = (
        _averaged(curves, comparison.limits)
        if federated is None
        else _averaged_as_lvis(curves, federated.frequencies)
    )
    num_objects = np.bincount(
        comparison.truth.classes[~comparison.is_crowd], minlength=comparison.num_classes
    )
    return TaskMetrics(
        numbers={name: _mean(values) for name, values in averaged},
        classes={
            name: ClassMetrics(
                average_precision=_mean(of_coco[:, :, column]),
                average_precision_50=_mean(of_coco[0, :, column]),
                num_objects=int(num_objects[column]),
            )
            for name, column in zip(annotations.class_names, columns.tolist(), strict=True)
        },
        iou_thresholds=IOU_THRESHOLDS,
        recalls=RECALLS,
        precision=of_coco[:, :, columns],
    )


def _averaged_as_lvis(
    curves: Curves, frequencies: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names of LVIS's numbers in its order, and what each is the mean of."""
    (limit,) = LVIS_LIMITS
    precision, recall = curves.precision[..., 0], curves.recall[..., 0]
    yield from _precisions(precision)
    for frequency in FREQUENCIES:
        yield f"AP{frequency}", precision[:, :, np.array(frequencies) == frequency, 0]
    yield f"AR{limit}", recall[..., 0]
    yield from _by_size("AR{}", recall)


def _averaged(curves: Curves, limits: Sequence[int]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names of all numbers, the twelve in COCO's order first, and what each is the mean of."""
    coco = len(COCO_LIMITS) - 1
    yield from _precisions(curves.precision[..., coco])
    for place, limit in enumerate(COCO_LIMITS):
        yield f"AR{limit}", curves.recall[:, :, 0, place]
    yield from _by_size("AR{}", curves.recall[..., coco])
    more = list(enumerate(limits))[len(COCO_LIMITS) :]
    for place, limit in more[-1:]:
        yield f"AP@{limit}", curves.precision[..., 0, place]
    for place, limit in more:
        yield f"AR{limit}", curves.recall[:, :, 0, place]
    for place, limit in more[-1:]:
        yield from _by_size(f"AR{{}}{limit}", curves.recall[..., place])


def _precisions(precision: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Of ``(T, R, K, sizes)`` precision: what AP, that at two overlaps and that by size are means of."""
    yield "AP", precision[..., 0]
    yield "AP50", precision[IOU_THRESHOLDS == 0.5, ..., 0]
    yield "AP75", precision[IOU_THRESHOLDS == 0.75, ..., 0]
    yield from _by_size("AP{}", precision)


def _by_size(name: str, values: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What belongs to each size of objects, whose letter goes into the name."""
    for column, size in enumerate(SIZES):
        if size:
            yield name.format(size), values[..., column]


def _mean(values: NDArray[np.float64]) -> float | None:
    """Of what there is something to find for, in the order in which pycocotools adds it up."""
    counted: NDArray[Any] = values[values > -1]
    return float(counted.mean()) if len(counted) else None
