"""Detect in every picture of a data set, score what is found, and write it."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.evaluation.inference import DetectionRound, detect_all, gather_faults, gather_pictures
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.evaluation.validation_loss import ValidationLoss
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.impossible_values import describe_impossible_values
from hrdet_cli.errors import DataError
from hrdet_cli.runs.build.loaders import build_evaluation_loader, build_merging
from hrdet_cli.runs.build.masks import build_mask_pasting
from hrdet_cli.runs.build.numerics import build_numerics, precision_name
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.evaluation.findings import Findings
from hrdet_cli.runs.evaluation.result_files import Results, score_and_write
from hrdet_cli.runs.evaluation.scores import Evaluation
from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.lack_of_memory import lack_told, less_to_look_at
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.run import EvaluationSpec
from hrdet_cli.wording import counted, first_few


def evaluate_detector(
    detector: Detector,
    spec: ExperimentSpec,
    part: DatasetPart,
    *,
    class_names: Sequence[str],
    device: torch.device,
    results: Results,
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
        results: Where the results go, and what they are made from; the precision is found out here.
        stop_asked: Whether this process was asked to stop.
        leaves_out_broken: Whether pictures that cannot be read are left out and named. Else one is an error.
        with_loss: Compute the losses, too; the annotations' classes are the detector's, in its order.

    Raises:
        DataError: The annotations have no class that the detector knows, or a picture, or none of those left,
            can be read.
        OutOfMemoryError: A batch does not fit into memory.
        OutputError: The results cannot be written.
    """
    labels_in_file = _labels_in_file(part, class_names)
    _take_buffers_of_first(detector)
    numerics = build_numerics(spec.run, device)
    losses = ValidationLoss(detector, device=device, numerics=numerics) if with_loss else None
    loader = build_evaluation_loader(
        spec,
        part,
        device,
        leaves_out_broken=leaves_out_broken,
        with_masks=with_loss and part.annotations.segmentations is not None,
    )
    rounds = detect_all(
        detector,
        loader,
        device=device,
        numerics=numerics,
        pasting=build_mask_pasting(spec.model),
        losses=losses,
        stop_asked=stop_asked,
    )
    with loader, closing(rounds):
        useful_shares = loader.useful_shares()
        unit = "pictures" if len(loader) == len(part.annotations) else "views"
        with lack_told(lambda: _describe_lack(spec.evaluation, device)):
            seen = yield from _look_at_all(rounds, num_in_all=len(loader), unit=unit)
    pictures = build_merging(spec).merge_all(gather_pictures(seen.pictures) or [])
    finds_something = any(len(picture.boxes) for picture in pictures)
    findings = Findings(
        part=part,
        pictures=[_with_labels_of_file(picture, labels_in_file) for picture in pictures],
        broken=tuple(gather_faults(seen.broken)),
        damaged=tuple(gather_faults(seen.damaged)),
        losses={} if losses is None else losses.means(),
        useful_shares=useful_shares,
        nothing=None if finds_something or not pictures else _describe_nothing(detector, len(pictures)),
    )
    origin = replace(results.origin, precision=precision_name(spec.run, device))
    results = replace(results, origin=origin)
    return from_first(lambda: score_and_write(results, findings, spec), what="metrics")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What this process found, and pictures that are not as they should be."""

    pictures: list[PictureDetections] = field(default_factory=list)
    broken: list[PictureFault] = field(default_factory=list)
    damaged: list[PictureFault] = field(default_factory=list)


def _look_at_all(
    rounds: Iterator[DetectionRound], *, num_in_all: int, unit: str
) -> Generator[EvaluationProgress, None, _Seen]:
    seen = _Seen()
    try:
        for done in rounds:
            seen.pictures.extend(done.pictures)
            seen.broken.extend(done.broken)
            seen.damaged.extend(done.damaged)
            yield EvaluationProgress(done.num_done, num_in_all, done.stop_asked, unit)
    except DataError as error:
        raise DataError(f"{error}\nTo score the others: add --set data.broken_pictures=skip") from error
    return seen


def _describe_lack(evaluation: EvaluationSpec, device: torch.device) -> str:
    """That memory ran out, and what takes less."""
    number, largest = evaluation.batch_size, max(evaluation.scales_of_views, key=math.prod)
    less = less_to_look_at(evaluation, batch_size=number, fewer="--set evaluation.batch_size=1")
    return (
        f"{counted(number, 'picture')} at once, evaluated in {'x'.join(map(str, largest))}, "
        f"{'does' if number == 1 else 'do'} not fit into the memory of "
        f"{device if device.type == 'cuda' else 'this machine'}; take {less}"
    )


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
