"""``hrdet eval``: a trained detector in, COCO's numbers, detections and pictures out."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.data.shared_annotations import load_annotations_once
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.evaluation.inference import detect_all, gather_faults, gather_pictures
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.evaluation.validation_loss import ValidationLoss
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.impossible_values import describe_impossible_values
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.build.loaders import build_evaluation_loader, build_merging
from hrdet_cli.runs.build.masks import build_mask_pasting
from hrdet_cli.runs.build.numerics import build_numerics, precision_name
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.device import kernel_notices, select_device
from hrdet_cli.runs.evaluation_results import Evaluation, Findings, require_rules, score_and_write
from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.output_files import refuse_unwritable_file, refuse_unwritable_folder
from hrdet_cli.runs.results import Origin, evaluation_folder, origin_of
from hrdet_cli.runs.run_notes.data import describe_cap
from hrdet_cli.runs.trained_detector.detector import TrainedDetector, build_trained_detector
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import counted, first_few


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A finished ``hrdet eval``; the same on every process.

    Attributes:
        unknown_classes: Classes of boxes of the data that the detector does not know; their AP is 0.
        left_out_classes: Classes of the detector that the data lack; detections of these were left out.
        notices: What else the user should be told.
    """

    evaluation: Evaluation
    unknown_classes: tuple[str, ...]
    left_out_classes: tuple[str, ...]
    notices: tuple[str, ...]


def never() -> bool:
    """The answer of whoever cannot be asked to stop."""
    return False


def page_path(report: str | os.PathLike[str] | bool) -> Path | None:
    """Where the page goes that says why AP is what it is, from the folder of the results on.

    Args:
        report: Whether there is to be one; or its file.
    """
    if isinstance(report, bool):
        return Path("report.html") if report else None
    return Path(report).absolute()


def evaluate_trained(
    read: Callable[[], TrainedDetector],
    *,
    out: Path | None,
    report: Path | None = None,
    stop_asked: Callable[[], bool] = never,
) -> Generator[EvaluationProgress, None, EvaluationReport]:
    """Evaluate a trained detector on the validation part of its spec.

    Only the first process reads the weights and writes results, so only its node needs the run folder.

    Args:
        read: Reads the detector; `read_trained_detector` with its arguments.
        out: Folder for the results; None puts them beside the weights.
        report: As for `evaluate_detector`.
        stop_asked: Whether this process was asked to stop; see `evaluate_detector`.

    Raises:
        HrdetError: The weights, the data or the spec are not usable, or the results cannot be written, which
            is found out before the work.
    """
    trained = from_first(read, what="weights")
    spec, class_names = trained.spec, trained.class_names
    needs = DataNeeds.of(spec.model.head)
    part = open_part(spec.data, "val", needs, is_scored=True, load=load_annotations_once)
    require_rules(part.annotations, spec.evaluation)
    device = select_device(spec.run)
    origin = origin_of(trained, part)
    folder = from_first(lambda: _writable_folder(trained, origin, out, report), what="folder for the results")
    evaluation = yield from evaluate_detector(
        build_trained_detector(trained, device),
        spec,
        part,
        class_names=class_names,
        device=device,
        origin=origin,
        out=folder,
        report=report,
        stop_asked=stop_asked,
        leaves_out_broken=spec.data.broken_pictures == "skip",
    )
    names_in_file = part.annotations.class_names
    capped = describe_cap(spec, part.annotations)
    return EvaluationReport(
        evaluation=evaluation,
        unknown_classes=tuple(
            name
            for name, scored in evaluation.metrics.tasks["box"].classes.items()
            if name not in class_names and scored.num_objects
        ),
        left_out_classes=tuple(name for name in class_names if name not in names_in_file),
        notices=(
            *kernel_notices(device),
            *trained.notices,
            *part.notices,
            *evaluation.notices(),
            *([capped] if capped else []),
        ),
    )


def _writable_folder(trained: TrainedDetector, origin: Origin, out: Path | None, report: Path | None) -> Path:
    """Where results go, and whether they and the page can.

    Raises:
        OutputError: They cannot.
    """
    folder = out or evaluation_folder(trained, origin)
    refuse_unwritable_folder(folder, option="--out")
    if report is not None:
        refuse_unwritable_file(folder / report, option="--report")
    return folder


def refuse_without_data(trained: TrainedDetector) -> None:
    """There must be data: a run may have had none, and of a preset's, which no run used, none may be there.

    Nothing is drawn for them, which a spec with demo data would do.

    Raises:
        SpecError: They are not there.
    """
    if trained.spec.data.val is None:
        raise SpecError(
            [
                f"{trained.source}: was trained without validation data; name data to score it on: "
                "--val-data JSON IMAGES"
            ]
        )
    annotations = trained.spec.data.locate("val").annotations
    if not trained.is_of_run and not annotations.exists():
        raise SpecError(
            [
                f"{trained.source}: no run is behind these weights, and the data of their spec "
                f"({annotations}) are not there; name data to score them on: --val-data JSON IMAGES"
            ]
        )


def evaluate_detector(
    detector: Detector,
    spec: ExperimentSpec,
    part: DatasetPart,
    *,
    class_names: Sequence[str],
    device: torch.device,
    origin: Origin,
    out: Path,
    report: Path | None = None,
    stop_asked: Callable[[], bool] = never,
    leaves_out_broken: bool = False,
    with_loss: bool = False,
) -> Generator[EvaluationProgress, None, Evaluation]:
    """Detect in every picture of a part, score the detections and write the results.

    Each process detects in its share of the pictures; the first one scores and writes. Detections of classes
    that the annotations lack are left out, for nobody can say whether they are right. Progress is the same
    on every process. Where it says that somebody asked to stop, all of them can leave the generator
    together; nothing was written by then.

    Args:
        detector: On ``device``, with the same weights on every process; gets the first one's buffers.
        spec: How to evaluate.
        part: The data.
        class_names: The detector's classes in the order of its labels.
        device: Where to compute.
        origin: What the results are made from.
        out: Folder for the results; made where it is missing.
        report: Where a page goes that says why the scores are what they are, from that folder on; None writes
            none.
        stop_asked: Whether this process was asked to stop.
        leaves_out_broken: Whether pictures that cannot be read are left out and named. Else one is an error.
        with_loss: Compute the losses, too; the annotations' classes are the detector's, in its order.

    Raises:
        DataError: The annotations have no class that the detector knows, or a picture, or none of those left,
            can be read.
        OutputError: The results cannot be written.
    """
    labels_in_file = _labels_in_file(part, class_names)
    _take_buffers_of_first(detector)
    numerics = build_numerics(spec.run, device)
    origin = replace(origin, precision=precision_name(spec.run, device))
    pictures: list[PictureDetections] = []
    broken: list[PictureFault] = []
    damaged: list[PictureFault] = []
    losses = ValidationLoss(detector, device=device, numerics=numerics) if with_loss else None
    with (
        build_evaluation_loader(
            spec,
            part,
            device,
            leaves_out_broken=leaves_out_broken,
            with_masks=with_loss and part.annotations.segmentations is not None,
        ) as loader,
        closing(
            detect_all(
                detector,
                loader,
                device=device,
                numerics=numerics,
                pasting=build_mask_pasting(spec.model),
                losses=losses,
                stop_asked=stop_asked,
            )
        ) as rounds,
    ):
        unit = "pictures" if len(loader) == len(part.annotations) else "views"
        useful_shares = loader.useful_shares()
        try:
            for done in rounds:
                pictures += done.pictures
                broken += done.broken
                damaged += done.damaged
                yield EvaluationProgress(done.num_done, len(loader), done.stop_asked, unit)
        except DataError as error:
            raise DataError(f"{error}\nTo score the others: add --set data.broken_pictures=skip") from error
    everything = build_merging(spec).merge_all(gather_pictures(pictures) or [])
    finds_something = any(len(picture.boxes) for picture in everything)
    known = [_with_labels_of_file(picture, labels_in_file) for picture in everything]
    findings = Findings(
        part=part,
        pictures=known,
        broken=tuple(gather_faults(broken)),
        damaged=tuple(gather_faults(damaged)),
        losses={} if losses is None else losses.means(),
        useful_shares=useful_shares,
        nothing=None if finds_something or not everything else _describe_nothing(detector, len(everything)),
    )
    return from_first(lambda: score_and_write(out, origin, findings, spec, report=report), what="metrics")


def _describe_nothing(detector: Detector, num_pictures: int) -> str:
    """That nothing was found in pictures, with what is wrong with the weights where something is."""
    why = describe_impossible_values(detector.state_dict())
    pictures = counted(num_pictures, "picture")
    return f"nothing was detected in {pictures}" + ("" if why is None else f": of the weights {why}")


def _take_buffers_of_first(detector: Detector) -> None:
    """Give every process the running statistics that checkpoints hold: those of the first one.

    A BatchNorm that is not synchronised has others on each process, which training never looks at.
    """
    buffers = dict(detector.named_buffers())
    of_first = from_first(
        lambda: {name: buffer.cpu() for name, buffer in buffers.items()}, what="running statistics"
    )
    for name, buffer in buffers.items():
        buffer.copy_(of_first[name])


def _labels_in_file(part: DatasetPart, class_names: Sequence[str]) -> NDArray[np.int64]:
    """The annotations' label for each of the detector's ``(K,)``, by name: ids and order may differ.

    -1 where the annotations have no such class.
    """
    annotations = part.annotations
    label_by_name = {name: label for label, name in enumerate(annotations.class_names)}
    labels = np.array([label_by_name.get(name, -1) for name in class_names])
    if labels.max() < 0:
        known = first_few([repr(name) for name in class_names])
        raise DataError(
            f"{annotations.path}: has no category that the detector knows, which are {known}; "
            "evaluate on data with the same category names"
        )
    return labels


def _with_labels_of_file(picture: PictureDetections, labels_in_file: NDArray[np.int64]) -> PictureDetections:
    """The detections of classes that the annotations have."""
    labels = torch.from_numpy(labels_in_file)[picture.labels]
    is_known = labels >= 0
    return replace(picture, labels=labels).select(is_known)
