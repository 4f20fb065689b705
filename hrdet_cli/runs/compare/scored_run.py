"""A run's detections scored, and ready to be scored on other draws of the pictures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hrdet_cli.engine.evaluation.analysis.matching import match
from hrdet_cli.engine.evaluation.analysis.operating_point import best_operating_point
from hrdet_cli.engine.evaluation.analysis.picture_errors import count_errors
from hrdet_cli.engine.evaluation.back_ends import evaluate_with_hotcoco
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.preparation import COCO_LIMITS, PreparedComparison, prepare_comparisons
from hrdet_cli.engine.evaluation.resampling.values import Values, ValueSampler
from hrdet_cli.engine.evaluation.results_file import read_results
from hrdet_cli.engine.evaluation.scoring import score_prepared
from hrdet_cli.errors import DataError
from hrdet_cli.runs.compare.common_data import CommonData
from hrdet_cli.runs.compare.report import SCORE_OF_NOTHING, ComparedRun
from hrdet_cli.runs.compare.saved_results import METRICS, SavedResults
from hrdet_cli.runs.compare.spec_differences import spec_values
from hrdet_cli.wording import counted

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRun:
    """A run with what its intervals are made of, which take more memory than all that is told of it.

    Attributes:
        run: The detector.
        samplers: Of each task.
        samples: What these gave so far, ``(B, V)`` each.
        num_of_other_classes: Detections that were left out.
    """

    run: ComparedRun
    samplers: Mapping[Task, ValueSampler]
    samples: Mapping[Task, list[Values]]
    num_of_other_classes: int

    def notices(self) -> Iterator[str]:
        """What the user should be told."""
        saved = self.run.results
        if self.num_of_other_classes:
            number = counted(self.num_of_other_classes, "detection")
            yield f"{saved.detections}: {number} of classes that are not compared left out"
        if saved.metrics is not None and saved.metrics.mask is not None and "mask" not in self.samplers:
            yield f"{saved.source}: its masks are not compared, for not all others have some"
        if isinstance(self.run.spec, str):
            yield f"{saved.source}: specs are not compared, for {self.run.spec}"


def score_run(saved: SavedResults, data: CommonData) -> ScoredRun:
    """Read a run's detections and score them.

    Raises:
        DataError: They are not of these data, or do not give the numbers that were written beside them.
    """
    annotations = data.annotations
    table, num_of_other_classes = read_results(saved.detections, annotations)
    table = table.take(np.flatnonzero(~np.isin(table.image_ids, list(data.left_out))))
    if annotations.truth is None or annotations.truth.masks is None:
        table = replace(table, masks=None)
    prepared = prepare_comparisons(annotations, table, left_out=data.left_out, more_limits=data.more_limits)
    metrics = score_prepared(prepared, annotations.class_names)
    _refuse_other_numbers(saved, metrics, data)
    samplers = {task: ValueSampler(one) for task, one in prepared.items()}
    run = _run_of(saved, metrics, prepared["box"])
    return ScoredRun(run, samplers, {task: [] for task in samplers}, num_of_other_classes)


def _refuse_other_numbers(saved: SavedResults, metrics: CocoMetrics, data: CommonData) -> None:
    """Detections give the numbers that were written beside them, or they are not those that were scored."""
    if saved.metrics is None or not data.is_that_of_metrics:
        return
    if len(saved.metrics.broken_pictures) != len(data.left_out):
        return  # scored on more pictures than are compared
    numbers = metrics.numbers["box"]
    for name in numbers.keys() & saved.metrics.box.keys():
        ours, theirs = numbers[name], saved.metrics.box[name]
        is_same = ours == theirs or (
            ours is not None and theirs is not None and abs(ours - theirs) <= _TOLERANCE
        )
        if not is_same:
            raise DataError(
                f"{saved.detections}: gives {name} {_shown(ours)}, and the {METRICS} beside it says "
                f"{_shown(theirs)}; they are not of one evaluation. Make both again with hrdet eval"
            )


def _shown(number: float | None) -> str:
    return "none" if number is None else f"{number:.6f}"


def _run_of(saved: SavedResults, metrics: CocoMetrics, boxes: PreparedComparison) -> ComparedRun:
    """With the errors that pictures show, which are those of boxes at an overlap of one half."""
    comparison = boxes.comparison
    if comparison.federated is None:
        comparison = replace(comparison, limits=COCO_LIMITS[-1:])
    matching = match(evaluate_with_hotcoco(comparison), comparison)
    point = best_operating_point(matching, comparison.scores)
    errors = count_errors(comparison, matching, min_score=SCORE_OF_NOTHING if point is None else point.score)
    return ComparedRun(saved, metrics, boxes, matching, point, errors, spec_values(saved))
