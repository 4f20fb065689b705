"""Suspect annotations as a file that people and ``hrdet check-data --suspects`` read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.ground_truth import GroundTruth
from hrdet_cli.engine.evaluation.analysis.analysis import Analysis
from hrdet_cli.engine.evaluation.analysis.suspects import Suspect, SuspectKind
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.output_files import write_json

_FORMAT: Final = "hrdet suspects"

Box = tuple[float, float, float, float]
"""x, y, width and height in pixels of the picture."""


class ListedBox(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An annotation, or a detection.

    Attributes:
        category: Name of its class.
        box: Where it is.
        id: Of an annotation; in other formats than COCO's, where ids are none, its number.
        place: Of an annotation in files of another format than COCO's, such as ``labels/a.txt: line 3``.
        score: Of a detection.
    """

    category: str
    box: Box
    id: int | None = None
    place: str | None = None
    score: float | None = None

    @property
    def where(self) -> str:
        """Of an annotation: how whoever mends it finds it in its file."""
        return self.place or f"id {self.id}"


class ListedSuspect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An annotation that is perhaps wrong, or is missing.

    Attributes:
        kind: What is perhaps wrong.
        strength: How strong the suspicion is, in [0, 1].
        file_name: Of the picture, as the annotations have it.
        image_id: Likewise.
        reason: In words.
        annotation: None where one is missing.
        twin: The other one at its place; None where it has none.
        detection: What makes it suspect; None where nothing does.
    """

    kind: SuspectKind
    strength: float
    file_name: str
    image_id: int
    reason: str
    annotation: ListedBox | None = None
    twin: ListedBox | None = None
    detection: ListedBox | None = None


class SuspectList(msgspec.Struct, frozen=True, kw_only=True):
    """What ``report.suspects.json`` holds.

    Attributes:
        format: What says that it is such a list.
        version: Of the format.
        annotations: The data set that they are of.
        split: Its part; None of a file.
        images: Folder or archive of its pictures.
        weights: Of the detector that makes them suspect.
        suspects: The most suspect first.
    """

    format: Literal["hrdet suspects"]
    version: Literal[1]
    annotations: str
    split: str | None
    images: str
    weights: str
    suspects: list[ListedSuspect]


def list_suspects(
    suspects: Sequence[Suspect], analysis: Analysis, annotations: CocoAnnotations, origin: Origin
) -> SuspectList:
    """Suspects with names and ids.

    Args:
        suspects: Of the analysis.
        analysis: Of boxes.
        annotations: That it is of, with their ground truth.
        origin: What the detections are made from.
    """
    if annotations.truth is None:
        raise ValueError(f"{annotations.path} was loaded without its ground truth")
    names = _Names(analysis, annotations, annotations.truth)
    return SuspectList(
        format=_FORMAT,
        version=1,
        annotations=str(origin.annotations.absolute()),
        split=origin.split,
        images=str(origin.images.absolute()),
        weights=origin.weights,
        suspects=[names.listed(suspect) for suspect in suspects],
    )


class _Names:
    """What numbers of an analysis stand for."""

    def __init__(self, analysis: Analysis, annotations: CocoAnnotations, truth: GroundTruth) -> None:
        self._analysis = analysis
        self._annotations = annotations
        self._truth = truth

    def listed(self, suspect: Suspect) -> ListedSuspect:
        index = int(self._analysis.prepared.picture_indices[suspect.picture])
        annotation = None if suspect.true is None else self._annotated(suspect.true)
        twin = None if suspect.twin is None else self._annotated(suspect.twin)
        detection = None if suspect.found is None else self._detected(suspect.found)
        return ListedSuspect(
            kind=suspect.kind,
            strength=round(suspect.strength, 4),
            file_name=str(self._annotations.file_names[index]),
            image_id=int(self._annotations.image_ids[index]),
            reason=_reason(suspect, annotation, twin, detection),
            annotation=annotation,
            twin=twin,
            detection=detection,
        )

    def _annotated(self, true: int) -> ListedBox:
        row = int(self._analysis.prepared.truth_rows[true])
        truth = self._truth
        return ListedBox(
            category=self._annotations.class_names[truth.labels[row]],
            box=_box(truth.boxes[row]),
            id=int(truth.ids[row]),
            place=None if truth.places is None else truth.places[row],
        )

    def _detected(self, found: int) -> ListedBox:
        comparison = self._analysis.comparison
        label = self._analysis.prepared.labels[comparison.found.classes[found]]
        return ListedBox(
            category=self._annotations.class_names[label],
            box=_box(comparison.found.boxes[found]),
            score=round(float(comparison.scores[found]), 4),
        )


def _box(box: Any) -> Box:
    x, y, width, height = box.round(2).tolist()
    return x, y, width, height


def _reason(
    suspect: Suspect, annotation: ListedBox | None, twin: ListedBox | None, detection: ListedBox | None
) -> str:
    overlap = f"{suspect.overlap:.0%}"
    if annotation is None and detection is not None:
        return f"{detection.category} {detection.score:.2f} is detected here, and nothing is annotated"
    if annotation is not None and twin is not None:
        same = "again" if twin.category == annotation.category else f"as {annotation.category} too"
        return f"{twin.category} ({twin.where}) is annotated {same}, with an overlap of {overlap}"
    if annotation is not None and detection is not None:
        what = f"{detection.category} {detection.score:.2f}"
        if suspect.kind == "class":
            return f"annotated as {annotation.category}, detected as {what}"
        return f"{what} is detected beside the box, with an overlap of {overlap}; nothing else finds it"
    if annotation is not None:
        others = f"{suspect.strength:.0%} of the {annotation.category} objects of its size are found"
        return f"no detection comes near, though {others}"
    raise ValueError(f"a suspect of neither an annotation nor a detection: {suspect}")


def write_suspects(path: Path, suspects: SuspectList) -> None:
    """Write a list.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(path, msgspec.to_builtins(suspects))


def read_suspects(path: Path) -> SuspectList:
    """Read a list.

    Raises:
        DataError: There is none, or it is none.
    """
    if (why := why_no_file(path)) is not None:
        raise DataError(f"{path}: {why}; name the list that `hrdet eval --report` writes beside the page")
    try:
        return msgspec.json.decode(path.read_bytes(), type=SuspectList)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise DataError(
            f"{path}: is no list of suspects, as `hrdet eval --report` writes it beside the page: {error}"
        ) from error
