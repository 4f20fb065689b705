"""What the results of an evaluation say they were made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrdet_cli.runs.dataset.part import DatasetPart
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
_WITH_EFFECT = (
    *("data.resize_filter", "data.resize_rounding", "data.tiles"),
    *(f"data.tiles.{name}" for name in ("side_pixels", "overlap_pixels", "with_whole_pictures")),
    *("run.deterministic", "run.precision"),
)
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
        spec: As ``given_spec`` of `TrainedDetector`.
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
    spec: str | None = None

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
            "spec": self.spec,
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
        spec=trained.given_spec,
    )


def changes_with_effect(trained: TrainedDetector) -> dict[str, Any]:
    """What the command line changed in the spec of a detector's weights and results depend on."""
    return {key: value for key, value in trained.changes.items() if results_depend_on(key)}


def results_depend_on(key: str) -> bool:
    """Whether a change of this key of a spec makes other results of the same weights on the same data."""
    return key in _WITH_EFFECT or not is_within(key, _WITHOUT_EFFECT)
