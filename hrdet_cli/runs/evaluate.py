"""``hrdet eval``: a checkpoint in, COCO's numbers, detections and pictures out."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.shared_annotations import load_coco_once
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics, score_detections
from hrdet_cli.engine.evaluation.inference import (
    PictureDetections,
    detect_all,
    gather_pictures,
    to_coco_results,
)
from hrdet_cli.engine.models.faster_rcnn import FasterRCNN
from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.visualisation.detection_sheet import DetectionPanel, draw_detection_sheet
from hrdet_cli.engine.visualisation.precision_recall import draw_precision_recall
from hrdet_cli.errors import DataError
from hrdet_cli.runs.build import (
    autocast_dtype,
    build_detector,
    build_evaluation_loader,
    place_detector,
    select_device,
)
from hrdet_cli.runs.dataset import DatasetPart, open_part
from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.run_folder import make_folder, save_picture, write_json
from hrdet_cli.runs.trained_checkpoint import (
    checkpoint_spec,
    default_out,
    find_checkpoint,
    load_detector_weights,
    require_keys,
)
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer

NUM_PICTURED = 12
PICTURED_MIN_SCORE = 0.5

_CHECKPOINT_KEYS = ("spec", "class_names", "model")
"""What an evaluation needs of a checkpoint; the optimiser's state stays behind."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a detector scores; the same on every process.

    Attributes:
        files: metrics.json, detections.json and the pictures.
    """

    metrics: CocoMetrics
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A finished ``hrdet eval``; the same on every process.

    Attributes:
        unknown_classes: Classes of the data that the detector does not know; their AP is 0.
        files: metrics.json, detections.json and the pictures.
    """

    checkpoint: Path
    num_pictures: int
    metrics: CocoMetrics
    unknown_classes: tuple[str, ...]
    files: tuple[Path, ...]


def never() -> bool:
    """The answer of whoever cannot be asked to stop."""
    return False


def evaluate_checkpoint(
    source: Path,
    *,
    out: Path | None,
    extra_layers: Sequence[Layer],
    settings: Sequence[str],
    stop_asked: Callable[[], bool] = never,
) -> Generator[EvaluationProgress, None, EvaluationReport]:
    """Evaluate a run's best checkpoint, or a checkpoint file, on the validation part of its spec.

    Only the first process reads the checkpoint and writes results, so only its node needs the run folder.

    Args:
        source: A run folder or a checkpoint.
        out: Folder for the results; None puts them beside the checkpoint's run.
        extra_layers: Changes to the checkpoint's spec, such as other data.
        settings: ``key=value`` texts on top of those.
        stop_asked: Whether this process was asked to stop; see `evaluate_detector`.

    Raises:
        HrdetError: The checkpoint, the data or the spec is not usable.
    """
    checkpoint, state = from_first(lambda: _read_checkpoint(source), what="checkpoint")
    spec = checkpoint_spec(checkpoint, state, extra_layers=extra_layers, settings=settings)
    class_names = list(state["class_names"])
    part = open_part(spec.data, "val", load=load_coco_once)
    device = select_device(spec.run)
    detector = place_detector(
        build_detector(spec, num_classes=len(class_names), trains=False), spec.run, device
    )
    load_detector_weights(detector, state, checkpoint)
    evaluation = yield from evaluate_detector(
        detector,
        spec,
        part,
        class_names=class_names,
        device=device,
        out=out or default_out(checkpoint),
        stop_asked=stop_asked,
    )
    unknown = tuple(name for name in part.annotations.class_names if name not in class_names)
    return EvaluationReport(checkpoint, len(part.annotations), evaluation.metrics, unknown, evaluation.files)


def evaluate_detector(
    detector: FasterRCNN,
    spec: ExperimentSpec,
    part: DatasetPart,
    *,
    class_names: Sequence[str],
    device: torch.device,
    out: Path,
    stop_asked: Callable[[], bool] = never,
) -> Generator[EvaluationProgress, None, Evaluation]:
    """Detect in every picture of a part, score the detections and write the results.

    Each process detects in its share of the pictures; the first one scores and writes. Progress is the same
    on every process. Where it says that somebody asked to stop, all of them can leave the generator
    together; nothing was written by then.

    Args:
        detector: On ``device``, with the same weights on every process; gets the first one's buffers.
        spec: How to evaluate.
        part: The data.
        class_names: The detector's classes in the order of its labels.
        device: Where to compute.
        out: Folder for the results; made where it is missing.
        stop_asked: Whether this process was asked to stop.

    Raises:
        DataError: The annotations lack a class that the detector knows, or a picture cannot be read.
        OutputError: The results cannot be written; known before the work where the folder cannot be made.
    """
    labels_in_file = _labels_in_file(part, class_names)
    from_first(lambda: make_folder(out), what="folder for the results")
    _take_buffers_of_first(detector)
    dtype = autocast_dtype(spec.run, device)
    pictures: list[PictureDetections] = []
    with (
        build_evaluation_loader(spec, part, device) as loader,
        closing(
            detect_all(detector, loader, device=device, autocast_dtype=dtype, stop_asked=stop_asked)
        ) as rounds,
    ):
        for done in rounds:
            pictures += done.pictures
            yield EvaluationProgress(done.num_done, len(loader), done.stop_asked)
    everything = gather_pictures(pictures)
    return from_first(
        lambda: _score_and_write(out, _Findings(part, everything or [], labels_in_file)), what="metrics"
    )


def _take_buffers_of_first(detector: FasterRCNN) -> None:
    """Give every process the running statistics that checkpoints hold: those of the first one.

    A BatchNorm that is not synchronised has others on each process, which training never looks at.
    """
    buffers = dict(detector.named_buffers())
    of_first = from_first(
        lambda: {name: buffer.cpu() for name, buffer in buffers.items()}, what="running statistics"
    )
    for name, buffer in buffers.items():
        buffer.copy_(of_first[name])


def _read_checkpoint(source: Path) -> tuple[Path, dict[str, Any]]:
    checkpoint = find_checkpoint(source)
    state = load_checkpoint(checkpoint)
    require_keys(checkpoint, state, _CHECKPOINT_KEYS)
    return checkpoint, {key: state[key] for key in _CHECKPOINT_KEYS}


@dataclass(frozen=True, slots=True)
class _Findings:
    """A data set's detections.

    Attributes:
        pictures: All of them, by image id.
        labels_in_file: ``(K,)`` int64, the annotations' label for each label of the detector.
    """

    part: DatasetPart
    pictures: Sequence[PictureDetections]
    labels_in_file: NDArray[np.int64]


def _score_and_write(folder: Path, findings: _Findings) -> Evaluation:
    """Write ``metrics.json``, ``detections.json`` and two pictures into a folder."""
    annotations = findings.part.annotations
    category_ids = [annotations.category_ids[label] for label in findings.labels_in_file]
    results = to_coco_results(findings.pictures, category_ids)
    scores = score_detections(annotations, results)
    metrics, detections = folder / "metrics.json", folder / "detections.json"
    write_json(metrics, scores.to_json())
    write_json(detections, list(results))
    sheet, curves = folder / "detections.png", folder / "precision-recall.png"
    save_picture(draw_detection_sheet(_panels(findings), annotations.class_names), sheet)
    save_picture(
        draw_precision_recall(
            scores.precision,
            iou_thresholds=scores.iou_thresholds.tolist(),
            class_names=annotations.class_names,
        ),
        curves,
    )
    return Evaluation(scores, (metrics, detections, sheet, curves))


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


def _panels(findings: _Findings) -> list[DetectionPanel]:
    """Pictures spread evenly over the data set, with what was found in them."""
    step = max(1, len(findings.pictures) // NUM_PICTURED)
    return [_panel(findings, picture) for picture in findings.pictures[::step][:NUM_PICTURED]]


def _panel(findings: _Findings, picture: PictureDetections) -> DetectionPanel:
    annotations, images = findings.part.annotations, findings.part.images
    index = int(np.flatnonzero(annotations.image_ids == picture.image_id)[0])
    name = str(annotations.file_names[index])
    pixels = decode_rgb(images.read(name), expected=annotations.size_of(index), name=name)
    true_boxes, true_labels = annotations.targets_of(index)
    is_shown = picture.scores >= PICTURED_MIN_SCORE
    return DetectionPanel(
        pixels=pixels.permute(1, 2, 0).numpy(),
        title=name,
        boxes=picture.boxes[is_shown].numpy(),
        labels=findings.labels_in_file[picture.labels[is_shown].numpy()],
        scores=picture.scores[is_shown].numpy(),
        true_boxes=true_boxes,
        true_labels=true_labels,
    )
