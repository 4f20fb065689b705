"""Evaluation from a script."""

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.api.group import require_group
from hrdet_cli.api.pictures import AnyPath
from hrdet_cli.api.predictor import Predictor, detector_in_memory
from hrdet_cli.api.training import DataSource, data_paths
from hrdet_cli.engine.evaluation.coco_metrics import TaskMetrics
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.evaluation.evaluation import (
    EvaluationReport,
    evaluate_trained,
    page_path,
    refuse_without_data,
)
from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.experiment import data_layers
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.specs.layers import mapping_layers


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How good a detector is on a data set.

    ``evaluation.box.numbers["AP"]`` is COCO's average precision, in [0, 1];
    ``evaluation.box.classes["cat"].average_precision`` that of a class.

    Attributes:
        box: Of the boxes.
        mask: Of the masks; None where boxes alone were looked for.
        folder: Where ``metrics.json``, ``detections.json`` and pictures are.
        report: The page that says why the numbers are what they are; None where none was asked for.
        unknown_classes: Classes of the data that the detector does not know; they count as 0.
        left_out_classes: Classes of the detector that the data lack; what was found of them was left out.
        notices: What else the user should know, a sentence each.
    """

    box: TaskMetrics
    mask: TaskMetrics | None
    folder: Path
    report: Path | None
    unknown_classes: tuple[str, ...]
    left_out_classes: tuple[str, ...]
    notices: tuple[str, ...]


def evaluate(
    source: AnyPath | Predictor,
    *,
    val_data: DataSource | None = None,
    out: AnyPath | None = None,
    report: AnyPath | bool = False,
    preset: str | None = None,
    spec: AnyPath | None = None,
    ema: bool = False,
    settings: Mapping[str, object] | None = None,
    classes: AnyPath | None = None,
    on_progress: Callable[[EvaluationProgress], object] | None = None,
) -> Evaluation:
    """Score a detector with COCO's numbers: `hrdet eval` in a script, with the same results folder.

    Prints nothing. Under torchrun and other launchers, inside `process_group`, all processes share the work
    and return the same; only the first reads the weights and writes.

    Args:
        source: What `load` takes; or a `Predictor`, whose module is scored with the weights it has now.
        val_data: What to score it on, as for `train`; None takes the validation data of its run.
        out: Folder for the results; None puts them beside the weights. A `Predictor` needs one.
        report: Write a page that says why the numbers are what they are, and a list of suspect annotations
            beside it: True writes ``report.html`` with the results, a path names another file.
        preset: As for `load`; not with a `Predictor`, nor are ``spec``, ``ema`` and ``classes``.
        spec: As for `load`.
        ema: As for `load`.
        settings: Changes to the spec by dotted key.
        classes: As for `load`.
        on_progress: Called as pictures are done.

    Returns:
        The numbers, and where the results are.

    Raises:
        SpecError: Arguments do not go together, a setting is not valid, or there are no data to score it on.
        DataError: The data are missing or broken, or have none of the detector's classes.
        WeightsError: The weights cannot be read or do not fit.
        OutputError: The results or the report cannot be written.
        OutOfMemoryError: A batch does not fit into memory.
    """
    require_group()
    layers = [*data_layers(val=data_paths(val_data)), *mapping_layers(settings or {})]

    def read() -> TrainedDetector:
        if isinstance(source, Predictor):
            trained = detector_in_memory(source, layers)
        else:
            trained = read_trained_detector(
                os.fspath(source),
                preset=preset,
                spec_file=None if spec is None else Path(spec),
                use_ema=ema,
                extra_layers=layers,
                classes=None if classes is None else Path(classes),
            )
        if val_data is None:
            refuse_without_data(trained)
        return trained

    if isinstance(source, Predictor):
        _refuse_options_of_sources(out=out, preset=preset, spec=spec, ema=ema or None, classes=classes)
    page = page_path(report)
    with closing(evaluate_trained(read, out=None if out is None else Path(out), report=page)) as rounds:
        while True:
            try:
                progress = next(rounds)
            except StopIteration as end:
                return _evaluation_of(end.value, page)
            if on_progress is not None:
                on_progress(progress)


def _refuse_options_of_sources(*, out: AnyPath | None, **others: object) -> None:
    problems = [
        f"{name}: is for weights that are still to be loaded"
        for name, value in others.items()
        if value is not None
    ]
    if out is None:
        problems.append("out: name a folder for the results; a detector in memory has none")
    if problems:
        raise SpecError(problems)


def _evaluation_of(report: EvaluationReport, page: Path | None) -> Evaluation:
    evaluation = report.evaluation
    tasks = evaluation.metrics.tasks
    folder = evaluation.files[0].parent
    return Evaluation(
        box=tasks["box"],
        mask=tasks.get("mask"),
        folder=folder,
        report=None if page is None else folder / page,
        unknown_classes=report.unknown_classes,
        left_out_classes=report.left_out_classes,
        notices=report.notices,
    )
