"""``hrdet eval``: a checkpoint in, COCO's numbers, detections and pictures out."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics, score_detections
from hrdet_cli.engine.evaluation.inference import CocoResult, PictureDetections, detect_all, to_coco_results
from hrdet_cli.engine.models.faster_rcnn import FasterRCNN
from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.visualisation.detection_sheet import DetectionPanel, draw_detection_sheet
from hrdet_cli.engine.visualisation.precision_recall import draw_precision_recall
from hrdet_cli.errors import DataError, WeightsError
from hrdet_cli.runs.build import (
    autocast_dtype,
    build_detector,
    build_evaluation_loader,
    select_device,
)
from hrdet_cli.runs.dataset import DatasetPart, open_part
from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.run_folder import RunFolder, make_folder, save_picture, write_json
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer, setting_layers
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.yaml_text import parse_yaml

NUM_PICTURED = 12
PICTURED_MIN_SCORE = 0.5
MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A data set's detections and what they score.

    Attributes:
        labels_in_file: ``(K,)`` int64, the annotations' label for each label of the detector.
    """

    metrics: CocoMetrics
    pictures: Sequence[PictureDetections]
    results: Sequence[CocoResult]
    labels_in_file: NDArray[np.int64]
    part: DatasetPart


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A finished ``hrdet eval``.

    Attributes:
        unknown_classes: Classes of the data that the detector does not know; their AP is 0.
        files: metrics.json, detections.json and the pictures.
    """

    checkpoint: Path
    num_pictures: int
    metrics: CocoMetrics
    unknown_classes: tuple[str, ...]
    files: tuple[Path, ...]


def evaluate_checkpoint(
    source: Path, *, out: Path | None, extra_layers: Sequence[Layer], settings: Sequence[str]
) -> Generator[EvaluationProgress, None, EvaluationReport]:
    """Evaluate a run's best checkpoint, or a checkpoint file, on the validation part of its spec.

    Args:
        source: A run folder or a checkpoint.
        out: Folder for the results; None puts them beside the checkpoint's run.
        extra_layers: Changes to the checkpoint's spec, such as other data.
        settings: ``key=value`` texts on top of those.

    Raises:
        HrdetError: The checkpoint, the data or the spec is not usable.
    """
    checkpoint = find_checkpoint(source)
    state = load_checkpoint(checkpoint)
    spec = checkpoint_spec(checkpoint, state, extra_layers=extra_layers, settings=settings)
    class_names = list(state["class_names"])
    part = open_part(spec.data, "val")
    folder = make_folder(out or default_out(checkpoint))  # before the work, so that its result has a place
    device = select_device(spec.run)
    detector = build_detector(spec, num_classes=len(class_names)).to(device)
    load_detector_weights(detector, state, checkpoint)
    evaluation = yield from evaluate_detector(detector, spec, part, class_names=class_names, device=device)
    unknown = tuple(name for name in part.annotations.class_names if name not in class_names)
    files = write_evaluation(folder, evaluation)
    return EvaluationReport(checkpoint, len(part.annotations), evaluation.metrics, unknown, files)


def evaluate_detector(
    detector: FasterRCNN,
    spec: ExperimentSpec,
    part: DatasetPart,
    *,
    class_names: Sequence[str],
    device: torch.device,
) -> Generator[EvaluationProgress, None, Evaluation]:
    """Detect in every picture of a part and score the detections; reports progress by picture.

    Raises:
        DataError: The annotations lack a class that the detector knows.
    """
    labels_in_file = _labels_in_file(part, class_names)
    dtype, pictures = autocast_dtype(spec.run, device), []
    with build_evaluation_loader(spec, part, device) as loader:
        for picture in detect_all(detector, loader, device=device, autocast_dtype=dtype):
            pictures.append(picture)
            yield EvaluationProgress(len(pictures), len(loader))
    category_ids = [part.annotations.category_ids[label] for label in labels_in_file]
    results = to_coco_results(pictures, category_ids)
    metrics = score_detections(part.annotations, results)
    return Evaluation(metrics, pictures, results, labels_in_file, part)


def write_evaluation(folder: Path, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write ``metrics.json``, ``detections.json`` and two pictures into a folder; returns their paths.

    Raises:
        OutputError: A file cannot be written.
    """
    metrics, detections = folder / "metrics.json", folder / "detections.json"
    write_json(metrics, evaluation.metrics.to_json())
    write_json(detections, list(evaluation.results))
    sheet, curves = folder / "detections.png", folder / "precision-recall.png"
    class_names = evaluation.part.annotations.class_names
    save_picture(draw_detection_sheet(_panels(evaluation), class_names), sheet)
    save_picture(
        draw_precision_recall(
            evaluation.metrics.precision,
            iou_thresholds=evaluation.metrics.iou_thresholds.tolist(),
            class_names=class_names,
        ),
        curves,
    )
    return metrics, detections, sheet, curves


def find_checkpoint(source: Path) -> Path:
    """The checkpoint that a path means: a file itself, a run folder's best or else its last.

    Raises:
        WeightsError: There is none.
    """
    if source.is_file():
        return source
    folder = RunFolder(source)
    for candidate in (folder.best_checkpoint, folder.last_checkpoint):
        if candidate.is_file():
            return candidate
    raise WeightsError(
        f"{source}: is neither a checkpoint nor a run folder with checkpoints/best.pt or last.pt"
    )


def checkpoint_spec(
    checkpoint: Path, state: dict[str, Any], *, extra_layers: Sequence[Layer], settings: Sequence[str]
) -> ExperimentSpec:
    """The spec a checkpoint was trained with, changed by further layers.

    Raises:
        SpecError: A change is not valid.
        WeightsError: The checkpoint lacks what an evaluation needs.
    """
    require_keys(checkpoint, state, ("spec", "class_names", "model"))
    base = Layer(str(checkpoint), parse_yaml(state["spec"], source=str(checkpoint)))
    return validate_layers([base, *extra_layers, *setting_layers(settings)]).spec


def require_keys(checkpoint: Path, state: dict[str, Any], keys: Sequence[str]) -> None:
    """A checkpoint must hold certain entries.

    Raises:
        WeightsError: One is missing.
    """
    missing = [key for key in keys if key not in state]
    if missing:
        raise WeightsError(
            f"{checkpoint}: lacks {', '.join(missing)}; it was not written by a training run of this hrdet"
        )


def load_detector_weights(detector: FasterRCNN, state: dict[str, Any], checkpoint: Path) -> None:
    """Fill a detector from a checkpoint, strictly.

    Raises:
        WeightsError: They do not fit each other.
    """
    try:
        detector.load_state_dict(state["model"])
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{checkpoint}: its weights do not fit the detector that the spec describes: "
            f"{str(error)[:MAX_REASON]} ...; evaluate with the model and norm it was trained with"
        ) from error


def default_out(checkpoint: Path) -> Path:
    """Where results go unless told otherwise: ``RUN/eval-best`` for ``RUN/checkpoints/best.pt``."""
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    return folder / f"eval-{checkpoint.stem}"


def _labels_in_file(part: DatasetPart, class_names: Sequence[str]) -> NDArray[np.int64]:
    """Find the detector's classes among the annotations', by name: ids and order may differ."""
    annotations = part.annotations
    unknown = [name for name in class_names if name not in annotations.class_names]
    if unknown:
        raise DataError(
            f"{annotations.path}: has no category named {', '.join(map(repr, unknown[:5]))}, "
            "which the detector was trained on; evaluate on data with the same category names"
        )
    return np.array([annotations.class_names.index(name) for name in class_names])


def _panels(evaluation: Evaluation) -> list[DetectionPanel]:
    """Pictures spread evenly over the data set, with what was found in them."""
    step = max(1, len(evaluation.pictures) // NUM_PICTURED)
    chosen = sorted(evaluation.pictures, key=lambda picture: picture.image_id)[::step][:NUM_PICTURED]
    return [_panel(evaluation, picture) for picture in chosen]


def _panel(evaluation: Evaluation, picture: PictureDetections) -> DetectionPanel:
    annotations, images = evaluation.part.annotations, evaluation.part.images
    index = int(np.flatnonzero(annotations.image_ids == picture.image_id)[0])
    name = str(annotations.file_names[index])
    pixels = decode_rgb(images.read(name), expected=annotations.size_of(index), name=name)
    true_boxes, true_labels = annotations.targets_of(index)
    is_shown = picture.scores >= PICTURED_MIN_SCORE
    return DetectionPanel(
        pixels=pixels.permute(1, 2, 0).numpy(),
        title=name,
        boxes=picture.boxes[is_shown].numpy(),
        labels=evaluation.labels_in_file[picture.labels[is_shown].numpy()],
        scores=picture.scores[is_shown].numpy(),
        true_boxes=true_boxes,
        true_labels=true_labels,
    )
