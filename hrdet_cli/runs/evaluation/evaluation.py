"""``hrdet eval``: a trained detector on the validation part of its spec."""

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.engine.data.shared_annotations import load_annotations_once
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part
from hrdet_cli.runs.device import kernel_notices, select_device
from hrdet_cli.runs.evaluation.detection import evaluate_detector
from hrdet_cli.runs.evaluation.result_files import Results, require_rules
from hrdet_cli.runs.evaluation.scores import Evaluation
from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.origin import Origin, origin_of
from hrdet_cli.runs.output_files import refuse_unwritable_file, refuse_unwritable_folder
from hrdet_cli.runs.result_folders import evaluation_folder
from hrdet_cli.runs.run_notes.data import describe_cap
from hrdet_cli.runs.stopping import never
from hrdet_cli.runs.trained_detector.detector import TrainedDetector, build_trained_detector


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
        report: As of `Results`.
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
        results=Results(origin=origin, folder=folder, report=report),
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
