"""Where results go, and what they say they were made from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.run_folder import METRICS
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.specs.after_training import OF_TRAININGS
from hrdet_cli.specs.keys import is_within
from hrdet_cli.version import __version__

MADE_FROM = "made_from"
_WITHOUT_EFFECT = (
    "data",
    "evaluation.back_end",
    *OF_TRAININGS,
    "name",
    "optimisation",
    "run",
)
"""What of a spec no result depends on, but for the data, which are named by themselves."""
_WITH_EFFECT = ("run.deterministic", "run.precision")
"""What results depend on all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the results of an evaluation were made from.

    Attributes:
        weights: The file or name of the weights, or the run that trained them.
        step: Steps they were trained for; None where nobody says.
        epoch: Whole epochs, likewise.
        annotations: File of the data, or what else names them.
        images: Folder or archive of its pictures.
        fingerprint: SHA-256 of the annotations.
        num_pictures: Pictures in it.
        changes: What the command line changed in the spec of the weights, by dotted key.
        precision: What was computed in; None before that is known.
        split: Part of a data set of several; None of a file.
    """

    weights: str
    step: int | None
    epoch: int | None
    annotations: Path
    images: Path
    fingerprint: str
    num_pictures: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None
    split: str | None = None

    @property
    def title(self) -> str:
        """What the data are called."""
        return f"{self.annotations}" if self.split is None else f"{self.annotations} ({self.split})"

    @property
    def short_title(self) -> str:
        """What folders of results on these data are called by."""
        stem = self.annotations.stem
        return stem if self.split is None else f"{stem}-{self.split}"

    def to_json(self) -> dict[str, Any]:
        """As ``metrics.json`` has it under ``made_from``."""
        return {
            "weights": self.weights,
            "step": self.step,
            "epoch": self.epoch,
            "annotations": str(self.annotations),
            "split": self.split,
            "annotations_sha256": self.fingerprint,
            "images": str(self.images),
            "num_pictures": self.num_pictures,
            "changes": dict(self.changes),
            "precision": self.precision,
            "hrdet": __version__,
        }


def origin_of(trained: TrainedDetector, part: DatasetPart) -> Origin:
    """What the results of a detector on the validation part of its spec are made from."""
    return Origin(
        weights=trained.source if trained.file is None else str(trained.file),
        step=trained.step,
        epoch=trained.epoch,
        annotations=part.annotations.path,
        split=part.annotations.split,
        images=part.located.images,
        fingerprint=part.annotations.fingerprint,
        num_pictures=len(part.annotations),
        changes=changes_with_effect(trained),
    )


def changes_with_effect(trained: TrainedDetector) -> dict[str, Any]:
    """What the command line changed in the spec of a detector's weights and results depend on."""
    return {key: value for key, value in trained.changes.items() if results_depend_on(key)}


def results_depend_on(key: str) -> bool:
    """Whether a change of this key of a spec makes other results of the same weights on the same data."""
    return key in _WITH_EFFECT or not is_within(key, _WITHOUT_EFFECT)


def results_folder(trained: TrainedDetector, what: str) -> Path:
    """Where results go unless told otherwise.

    ``RUN/eval-best`` for ``RUN/checkpoints/best.pt``, ``eval-STEM`` beside any other file, and
    ``runs/eval-NAME`` for weights that have a name and no file.
    """
    if trained.file is None:
        return Path("runs") / f"{what}-{trained.name}"
    folder = trained.file.parent
    return (folder.parent if folder.name == "checkpoints" else folder) / f"{what}-{trained.name}"


def evaluation_folder(trained: TrainedDetector, origin: Origin) -> Path:
    """The same of an evaluation: results of other data, or of a changed spec, lie apart.

    A run's results on its own validation data are in ``eval-best``; those on ``test.json`` in
    ``eval-best-on-test``, and with a changed spec in ``eval-best-changed``. Where such a folder holds the
    results of another evaluation, a number follows. The same evaluation again takes the same folder.
    """
    plain = results_folder(trained, "eval")
    saved = trained.saved_spec
    own = None if saved is None or saved.data.val is None else saved.data.locate("val")
    is_own = not trained.is_of_run or trained.spec.data.locate("val") == own
    if trained.is_of_run and is_own and not origin.changes:
        return plain
    name = plain.name if is_own else f"{plain.name}-on-{origin.short_title}"
    name += "-changed" if origin.changes else ""
    return next(folder for folder in _numbered(plain.with_name(name)) if _is_for(origin, folder))


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder.with_name(f"{folder.name}-{number}") for number in count(2))


def _is_for(origin: Origin, folder: Path) -> bool:
    """Whether a folder holds no results, or those of the same evaluation."""
    try:
        document = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except (OSError, ValueError, RecursionError):
        return False
    held = document.get(MADE_FROM) if isinstance(document, dict) else None
    asked = json.loads(json.dumps(origin.to_json()))
    same = ("annotations", "split", "images", "changes")
    return isinstance(held, dict) and all(held.get(key) == asked[key] for key in same)
