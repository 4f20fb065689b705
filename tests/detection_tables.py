"""Results in COCO's format as the table that scores are made from, and their scores."""

from collections.abc import Sequence

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.back_ends import BackEnd
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.engine.evaluation.coco_results import CocoResult, DetectionTable
from hrdet_cli.engine.evaluation.preparation import prepare_comparisons
from hrdet_cli.engine.evaluation.scoring import score_prepared


def table_of(annotations: CocoAnnotations, results: Sequence[CocoResult]) -> DetectionTable:
    """The same detections, by image id; either all results have masks or none."""
    label_by_id = {number: label for label, number in enumerate(annotations.category_ids)}
    in_order = sorted(results, key=lambda result: result["image_id"])
    masks = [result["segmentation"] for result in in_order if "segmentation" in result]
    return DetectionTable(
        image_ids=np.array([result["image_id"] for result in in_order], dtype=np.int64),
        labels=np.array([label_by_id[result["category_id"]] for result in in_order], dtype=np.int64),
        boxes=np.array([result["bbox"] for result in in_order], dtype=np.float64).reshape(-1, 4),
        scores=np.array([result["score"] for result in in_order], dtype=np.float64),
        masks=masks if annotations.truth is not None and annotations.truth.masks is not None else None,
    )


def score_detections(
    annotations: CocoAnnotations,
    detections: DetectionTable,
    *,
    more_limits: Sequence[int] = (),
    back_end: BackEnd = "hotcoco",
) -> CocoMetrics:
    """The scores of detections, prepared as an evaluation does."""
    prepared = prepare_comparisons(annotations, detections, more_limits=more_limits)
    return score_prepared(prepared, annotations.class_names, back_end=back_end)
