"""What is known of a trained detector, for its card."""

import glob
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from hrdet_cli.runs.origin import MADE_FROM, changes_with_effect
from hrdet_cli.runs.result_folders import results_folder
from hrdet_cli.runs.run_folder import HUB_WEIGHTS, METRICS, RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.trained_detector.detector import TrainedDetector


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """What is known of a trained detector.

    Attributes:
        trained: The detector.
        num_parameters: Elements of its parameters.
        metrics: An evaluation of these very weights with this very spec, as ``metrics.json`` has it; None
            where there is none.
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
    """An evaluation of these weights with this spec; without paths that say where somebody's files lie."""
    changes = json.loads(json.dumps(changes_with_effect(trained)))
    for file in _places_of_metrics(trained, folder):
        document = _read(file)
        made_from = document.get(MADE_FROM)
        if (
            isinstance(made_from, dict)
            and made_from.get("step") == trained.step
            and _is_of_same_detector(made_from, trained)
            and (made_from.get("changes") or {}) == changes
        ):
            return {**document, MADE_FROM: _as_published(made_from)}
    return None


def _is_of_same_detector(made_from: Mapping[str, Any], trained: TrainedDetector) -> bool:
    """Whether results are of the same weights and preset; those of a file with a step are told by that."""
    weights = str(made_from.get("weights"))
    if trained.file is None:
        is_same = weights == trained.source
    else:
        is_same = trained.step is not None or PurePath(weights).name == trained.file.name
    return is_same and made_from.get("spec") == trained.given_spec


def _places_of_metrics(trained: TrainedDetector, folder: RunFolder | None) -> Iterator[Path]:
    """Where results may be; of a run those on its validation data first, then on others, by their names."""
    own = results_folder(trained, "eval")
    yield own / METRICS
    if trained.file is not None and trained.file.name == HUB_WEIGHTS:
        yield trained.file.with_name(METRICS)
    if folder is not None and trained.step is not None:
        yield (folder.ema_evaluation if trained.is_average else folder.evaluation) / METRICS
    for ending in ("changed*", "on-*", "[0-9]*"):
        yield from sorted(own.parent.glob(f"{glob.escape(own.name)}-{ending}/{METRICS}"))


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _as_published(made_from: Mapping[str, Any]) -> dict[str, Any]:
    """With names of files in place of paths; what was changed in the spec is so in the one beside it."""
    names = {key: Path(str(made_from[key])).name for key in ("annotations", "images") if made_from.get(key)}
    return {**made_from, **names, "weights": HUB_WEIGHTS, "spec": None, "changes": {}}
