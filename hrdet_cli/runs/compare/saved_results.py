"""Results of evaluations that lie on the disk: a run's, a folder's, or a file with detections alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hrdet_cli.errors import OutputError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.wording import command, first_few

METRICS, DETECTIONS = "metrics.json", "detections.json"
_BEST, _LAST = "eval-best", "evaluation"
"""Of a run: of its best checkpoint, which ``hrdet eval`` made, and of its last evaluated epoch."""


class MadeFrom(msgspec.Struct, frozen=True):
    """What results were made from; as ``runs.origin.Origin`` writes it."""

    weights: str
    annotations: str
    annotations_sha256: str
    images: str
    num_pictures: int
    step: int | None = None
    epoch: int | None = None
    split: str | None = None
    changes: dict[str, Any] = {}
    precision: str | None = None
    hrdet: str | None = None


class SavedMetrics(msgspec.Struct, frozen=True):
    """``metrics.json``."""

    made_from: MadeFrom
    box: dict[str, float | None]
    classes: dict[str, Any]
    mask: dict[str, float | None] | None = None
    broken_pictures: dict[str, str] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels."""
        return tuple(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class SavedResults:
    """Detections and what is known of them.

    Attributes:
        source: What was asked for.
        detections: The file.
        metrics: What hrdet scored; None of a file that it did not write.
        run: The run that the detector is of; None where nobody knows one.
    """

    source: str
    detections: Path
    metrics: SavedMetrics | None
    run: RunFolder | None

    @property
    def described(self) -> str:
        """Which results of a run they are, and how long it was trained, in words; empty where nobody says."""
        made_from = None if self.metrics is None else self.metrics.made_from
        epoch = "" if made_from is None or made_from.epoch is None else f"epoch {made_from.epoch}"
        folder = "" if self.metrics is None else self.detections.parent.name
        return ", ".join(filter(None, [folder, epoch]))


def find_results(sources: Sequence[str], *, evaluation: str | None) -> list[SavedResults]:
    """The results that sources stand for.

    A run stands for what ``hrdet eval`` made of its best checkpoint where all runs have that, or else for its
    last evaluated epoch.

    Args:
        sources: Run folders, folders with results, files of these, or lists of detections.
        evaluation: The folder of results in each run; None for those two.

    Raises:
        OutputError: There are no results, or files of them are missing or damaged.
    """
    runs = [RunFolder(Path(source)) for source in sources if _stands_for_run(Path(source))]
    name = _evaluation_of(runs, [evaluation] if evaluation is not None else [_BEST, _LAST]) if runs else ""
    return [_find(source, evaluation=name) for source in sources]


def _stands_for_run(path: Path) -> bool:
    return path.is_dir() and not (path / METRICS).is_file() and RunFolder(path).holds_run()


def _evaluation_of(runs: Sequence[RunFolder], names: Sequence[str]) -> str:
    for name in names:
        if all((run.path / name / METRICS).is_file() for run in runs):
            return name
    lacking = [run.path for run in runs if not (run.path / names[0] / METRICS).is_file()]
    how = "\n".join(command("hrdet", "eval", path) for path in lacking) if names[0] == _BEST else ""
    raise OutputError(
        f"{first_few(lacking)}: no results in {' or '.join(names)}, which are to be compared"
        + (f"; make them with:\n{how}" if how else "; check --evaluation")
    )


def _find(source: str, *, evaluation: str) -> SavedResults:
    path = Path(source)
    if path.is_dir():
        folder = path / evaluation if _stands_for_run(path) else path
        if not (folder / METRICS).is_file():
            raise OutputError(
                f"{path}: is neither a run folder nor a folder with {METRICS} and {DETECTIONS}, which hrdet "
                "eval writes"
            )
        return _in_folder(source, folder)
    if (why := why_no_file(path)) is not None:
        raise OutputError(
            f"{path}: {why}; give run folders, folders of results, or lists of detections in COCO's format"
        )
    if path.name == METRICS or (path.name == DETECTIONS and (path.parent / METRICS).is_file()):
        return _in_folder(source, path.parent)
    return SavedResults(source, path, None, None)


def _in_folder(source: str, folder: Path) -> SavedResults:
    detections = folder / DETECTIONS
    if not detections.is_file():
        raise OutputError(
            f"{folder}: has {METRICS} and no {DETECTIONS}, which are compared; make both with hrdet eval"
        )
    run = RunFolder(folder.parent)
    return SavedResults(source, detections, _read_metrics(folder / METRICS), run if run.holds_run() else None)


def _read_metrics(path: Path) -> SavedMetrics:
    try:
        return msgspec.json.decode(path.read_bytes(), type=SavedMetrics)
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: is not as hrdet eval writes it: {error}; make it again") from error
