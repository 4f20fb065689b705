"""What is known of a trained detector, for its card."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrdet_cli.runs.results import MADE_FROM, results_folder
from hrdet_cli.runs.run_folder import HUB_WEIGHTS, METRICS, RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.trained_detector.detector import TrainedDetector


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """What is known of a trained detector.

    Attributes:
        trained: The detector.
        num_parameters: Elements of its parameters.
        metrics: An evaluation of these very weights, as ``metrics.json`` has it; None where there is none.
        record: What its run wrote down; None of weights without a run.
    """

    trained: TrainedDetector
    num_parameters: int
    metrics: Mapping[str, Any] | None
    record: RunRecord | None


def facts_of(trained: TrainedDetector, *, num_parameters: int) -> DetectorFacts:
    """Look for what there is beside a detector's weights."""
    folder = run_folder_of(trained)
    record = None if folder is None else folder.read_record()
    return DetectorFacts(trained, num_parameters, _metrics_of(trained, folder), record)


def run_folder_of(trained: TrainedDetector) -> RunFolder | None:
    """The run that a detector's checkpoint lies in; None of other files."""
    if not trained.is_of_run or trained.file is None or trained.file.parent.name != "checkpoints":
        return None
    return RunFolder(trained.file.parent.parent)


def _metrics_of(trained: TrainedDetector, folder: RunFolder | None) -> dict[str, Any] | None:
    """An evaluation of these weights, unchanged; without paths that say where somebody's files lie."""
    for file in _places_of_metrics(trained, folder):
        document = _read(file)
        made_from = document.get(MADE_FROM)
        if (
            isinstance(made_from, dict)
            and made_from.get("step") == trained.step
            and not made_from.get("changes")
        ):
            return {**document, MADE_FROM: _without_folders(made_from)}
    return None


def _places_of_metrics(trained: TrainedDetector, folder: RunFolder | None) -> Iterator[Path]:
    yield results_folder(trained, "eval") / METRICS
    if trained.file is not None and trained.file.name == HUB_WEIGHTS:
        yield trained.file.with_name(METRICS)
    if folder is not None and trained.step is not None:
        is_average = trained.name.endswith("-ema")
        yield (folder.ema_evaluation if is_average else folder.evaluation) / METRICS


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _without_folders(made_from: Mapping[str, Any]) -> dict[str, Any]:
    names = {key: Path(str(made_from[key])).name for key in ("annotations", "images") if made_from.get(key)}
    return {**made_from, **names, "weights": HUB_WEIGHTS}
