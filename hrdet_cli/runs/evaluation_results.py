"""What becomes of a data set's detections: scores, files and pictures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.evaluation.preparation import COCO_LIMITS, prepare_comparisons
from hrdet_cli.engine.evaluation.scoring import score_prepared
from hrdet_cli.engine.visualisation.detection_sheet import DetectionPanel, draw_detection_sheet
from hrdet_cli.engine.visualisation.judgement import LabelledBoxes
from hrdet_cli.engine.visualisation.precision_recall import draw_precision_recall
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.output_files import save_picture, write_json
from hrdet_cli.runs.results import MADE_FROM, Origin
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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a detector scores; the same on every process.

    Attributes:
        files: metrics.json, detections.json and the pictures.
        broken: Pictures that could not be read and do not count.
        damaged: JPEGs with damaged pixels, which count as they were decoded.
        losses: Means over the pictures, by name; none where they were not asked for.
        nothing: That nothing was found in any picture, and why, in words; None where something was.
    """

    origin: Origin
    metrics: CocoMetrics
    files: tuple[Path, ...]
    broken: tuple[PictureFault, ...] = ()
    damaged: tuple[PictureFault, ...] = ()
    losses: Mapping[str, float] = field(default_factory=dict)
    nothing: str | None = None

    @property
    def loss(self) -> float | None:
        """Sum of the losses; None where there are none, or where it is not finite."""
        loss = sum(self.losses.values())
        return loss if self.losses and math.isfinite(loss) else None

    def notices(self) -> Iterator[str]:
        """What the user should be told of the pictures, and of what was found in them."""
        if self.nothing is not None:
            yield self.nothing
        if self.broken:
            yield (
                f"scored without {counted(len(self.broken), 'picture')} that cannot be read, on the other "
                f"{self.origin.num_pictures - len(self.broken):,}; the first: {self.broken[0].reason} "
                "hrdet check-data names all"
            )
        if self.damaged:
            first = self.damaged[0]
            yield (
                f"damaged JPEG data in {counted(len(self.damaged), 'picture')}, scored as far as decoded; "
                f"the first: {first.file_name} ({first.reason}); hrdet check-data names all"
            )
        if self.metrics.num_without_mask:
            yield (
                f"{counted(self.metrics.num_without_mask, 'object')} of {self.origin.title} without a "
                "mask, scored by boxes alone"
            )

    def to_json(self) -> dict[str, Any]:
        """What ``metrics.json`` holds; broken and damaged pictures where there are some."""
        kinds = {"broken_pictures": self.broken, "damaged_pictures": self.damaged}
        faults = {
            kind: {fault.file_name: fault.reason for fault in faults}
            for kind, faults in kinds.items()
            if faults
        }
        return {MADE_FROM: self.origin.to_json(), **faults, **self.losses_to_json(), **self.metrics.to_json()}

    def losses_to_json(self) -> dict[str, Any]:
        """``loss`` and its parts ``losses``, null where not finite; nothing where they were not asked for."""
        parts = {name: value if math.isfinite(value) else None for name, value in self.losses.items()}
        return {"loss": self.loss, "losses": parts} if parts else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A data set's detections.

    Attributes:
        pictures: All that were read, by image id; labels are those of the annotations.
        broken: Those that could not be read, by name.
        damaged: JPEGs with damaged pixels, likewise.
        losses: Means over all pictures, by name; none where they were not asked for.
        useful_shares: Share of its canvas that each picture fills, by its file.
        nothing: As of `Evaluation`.
    """

    part: DatasetPart
    pictures: Sequence[PictureDetections]
    broken: tuple[PictureFault, ...]
    damaged: tuple[PictureFault, ...]
    losses: Mapping[str, float]
    useful_shares: Mapping[str, float]
    nothing: str | None

    def ids_left_out(self) -> set[int]:
        """Ids of the broken pictures."""
        annotations = self.part.annotations
        names = [fault.file_name for fault in self.broken]
        return set(annotations.image_ids[np.isin(annotations.file_names, names)].tolist())

    def read(self, name: str, *, max_pixels: int) -> NDArray[np.uint8]:
        """Pixels of a picture by its file: ``(H, W, 3)`` uint8, RGB.

        Args:
            name: Of a file of the annotations.
            max_pixels: Larger ones are refused.
        """
        annotations = self.part.annotations
        index = int(np.flatnonzero(annotations.file_names == name)[0])
        pixels = decode_rgb(
            self.part.images.read(name),
            expected=annotations.size_of(index),
            name=name,
            max_pixels=max_pixels,
        )
        channels_last: NDArray[np.uint8] = pixels.permute(1, 2, 0).numpy()
        return channels_last


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


@doing("scoring")
def score_and_write(
    folder: Path, origin: Origin, findings: Findings, spec: ExperimentSpec, *, report: Path | None = None
) -> Evaluation:
    """Score, and write ``metrics.json``, ``detections.json`` and pictures into a folder.

    Args:
        folder: Where they go.
        origin: What the results are made from.
        findings: The detections.
        spec: How to score.
        report: Where a page goes that says why the scores are what they are, from the folder on; None writes
            none.
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
    metrics, detections, sheet = folder / METRICS, folder / "detections.json", folder / "detections.png"
    curves = {task: folder / name for task, name in _CURVES.items() if task in scores.tasks}
    files = (metrics, detections, sheet, *curves.values())
    evaluation = Evaluation(
        origin, scores, files, findings.broken, findings.damaged, findings.losses, findings.nothing
    )
    write_json(metrics, evaluation.to_json())
    write_json(detections, table.results(annotations.category_ids))
    save_picture(
        draw_detection_sheet(_panels(findings, most_pixels(spec.data)), annotations.class_names), sheet
    )
    for task, file in curves.items():
        of_task = scores.tasks[task]
        drawn = draw_precision_recall(
            of_task.precision,
            iou_thresholds=of_task.iou_thresholds.tolist(),
            class_names=annotations.class_names,
            overlap_of="boxes" if task == "box" else "masks",
        )
        save_picture(drawn, file)
    if report is None:
        return evaluation
    from hrdet_cli.runs.evaluation_report.report import write_report

    with doing("writing the report"):
        written = write_report(
            folder / report,
            prepared=prepared,
            metrics=scores,
            annotations=annotations,
            origin=origin,
            useful_shares=np.array(
                [findings.useful_shares[name] for name in annotations.file_names.tolist()]
            ),
            notices=tuple(evaluation.notices()),
            read=lambda name: findings.read(name, max_pixels=most_pixels(spec.data)),
        )
    return replace(evaluation, files=(*files, *written))


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
