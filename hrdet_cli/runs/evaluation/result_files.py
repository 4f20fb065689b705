"""Score a data set's detections, and write files and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.coco_metrics import TaskMetrics
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.evaluation.preparation import COCO_LIMITS, PreparedComparison, prepare_comparisons
from hrdet_cli.engine.evaluation.scoring import score_prepared
from hrdet_cli.engine.visualisation.detection_sheet import DetectionPanel, draw_detection_sheet
from hrdet_cli.engine.visualisation.judgement import LabelledBoxes
from hrdet_cli.engine.visualisation.precision_recall import draw_precision_recall
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.evaluation.findings import Findings
from hrdet_cli.runs.evaluation.scores import Evaluation
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.output_files import save_picture, write_json
from hrdet_cli.runs.run_folder import METRICS
from hrdet_cli.runs.tiles import most_pixels
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.run import EvaluationSpec
from hrdet_cli.wording import counted

NUM_PICTURED = 12
PICTURED_MIN_SCORE = 0.5
PROPOSAL_LIMITS = (300, 1000)
"""How many proposals of a picture those who measure proposals look at."""

_CURVES: Mapping[Task, str] = {"box": "precision-recall.png", "mask": "precision-recall-masks.png"}


def require_rules(annotations: CocoAnnotations, spec: EvaluationSpec) -> None:
    """Refuse annotations that the back end has no rules for, before anything is detected.

    Raises:
        SpecError: LVIS's are to be scored by pycocotools.
    """
    truth = annotations.truth
    if truth is not None and truth.federated is not None and spec.back_end != "hotcoco":
        problem = (
            f"evaluation.back_end: is {spec.back_end}, which does not know LVIS's rules, and "
            f"{annotations.title} is LVIS's; set evaluation.back_end=hotcoco"
        )
        raise SpecError([problem])


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Where the results of an evaluation go, and what they are made from.

    Attributes:
        origin: What they are made from.
        folder: Where they go; made where it is missing.
        report: Where a page goes that says why the scores are what they are, from the folder on; None writes
            none.
    """

    origin: Origin
    folder: Path
    report: Path | None = None

    @property
    def page(self) -> Path | None:
        """The report's own path."""
        return None if self.report is None else self.folder / self.report


@doing("scoring")
def score_and_write(results: Results, findings: Findings, spec: ExperimentSpec) -> Evaluation:
    """Score, and write ``metrics.json``, ``detections.json`` and pictures.

    Args:
        results: Where they go, and what they are made from.
        findings: The detections.
        spec: How to score.

    Raises:
        DataError: No picture can be read.
        OutputError: Something cannot be written.
    """
    annotations = findings.part.annotations
    if findings.broken and not findings.pictures:
        raise DataError(
            f"{annotations.path}: none of its {counted(len(annotations), 'picture')} can be read; the first: "
            f"{findings.broken[0].reason}"
        )
    table = DetectionTable.of(findings.pictures)
    prepared = prepare_comparisons(
        annotations, table, left_out=findings.ids_left_out(), more_limits=_more_limits(spec)
    )
    scores = score_prepared(prepared, annotations.class_names, back_end=spec.evaluation.back_end)
    folder = results.folder
    metrics, detections, sheet = folder / METRICS, folder / "detections.json", folder / "detections.png"
    curves = {task: folder / name for task, name in _CURVES.items() if task in scores.tasks}
    files = (metrics, detections, sheet, *curves.values())
    evaluation = Evaluation(
        results.origin, scores, files, findings.broken, findings.damaged, findings.losses, findings.nothing
    )
    write_json(metrics, evaluation.to_json())
    write_json(detections, table.results(annotations.category_ids))
    panels = _panels(findings, most_pixels(spec.data))
    save_picture(draw_detection_sheet(panels, annotations.class_names), sheet)
    for task, file in curves.items():
        save_picture(_draw_curves(task, scores.tasks[task], annotations.class_names), file)
    if results.page is None:
        return evaluation
    written = _write_page(results.page, evaluation, prepared, findings, spec)
    return replace(evaluation, files=(*files, *written))


def _draw_curves(task: Task, metrics: TaskMetrics, class_names: Sequence[str]) -> Image.Image:
    return draw_precision_recall(
        metrics.precision,
        iou_thresholds=metrics.iou_thresholds.tolist(),
        class_names=class_names,
        overlap_of="boxes" if task == "box" else "masks",
    )


@doing("writing the report")
def _write_page(
    path: Path,
    evaluation: Evaluation,
    prepared: Mapping[Task, PreparedComparison],
    findings: Findings,
    spec: ExperimentSpec,
) -> tuple[Path, ...]:
    """Write the page that says why the scores are what they are; returns what was written."""
    from hrdet_cli.engine.evaluation.analysis.analysis import analyse
    from hrdet_cli.runs.evaluation_report.report import write_report
    from hrdet_cli.runs.evaluation_report.subject import Subject

    annotations = findings.part.annotations
    useful_shares = np.array([findings.useful_shares[name] for name in annotations.file_names.tolist()])
    subject = Subject(
        origin=evaluation.origin,
        metrics=evaluation.metrics,
        analyses={task: analyse(one, useful_shares=useful_shares) for task, one in prepared.items()},
        class_names=annotations.class_names,
        notices=tuple(evaluation.notices()),
    )
    return write_report(
        path,
        subject,
        annotations=annotations,
        read=lambda name: findings.read(name, max_pixels=most_pixels(spec.data)),
    )


def _more_limits(spec: ExperimentSpec) -> tuple[int, ...]:
    """Numbers of detections that are looked at beside COCO's: as many as a picture can have here."""
    selection = spec.model.head.selection
    if selection is None:
        return PROPOSAL_LIMITS
    most = selection.spec.max_detections
    return (most,) if most > max(COCO_LIMITS) else ()


def _panels(findings: Findings, max_pixels: int) -> list[DetectionPanel]:
    """Pictures spread evenly over the data set, with what was found in them."""
    step = max(1, len(findings.pictures) // NUM_PICTURED)
    return [_panel(findings, picture, max_pixels) for picture in findings.pictures[::step][:NUM_PICTURED]]


def _panel(findings: Findings, picture: PictureDetections, max_pixels: int) -> DetectionPanel:
    annotations = findings.part.annotations
    index = int(np.flatnonzero(annotations.image_ids == picture.image_id)[0])
    name = str(annotations.file_names[index])
    shown = picture.select(picture.scores >= PICTURED_MIN_SCORE)
    return DetectionPanel(
        pixels=findings.read(name, max_pixels=max_pixels),
        title=name,
        found=LabelledBoxes(shown.boxes.numpy(), shown.labels.numpy()),
        scores=shown.scores.numpy(),
        masks=shown.masks,
        true=LabelledBoxes(*annotations.targets_of(index)),
        crowd=LabelledBoxes(*annotations.crowd_of(index)),
    )
