"""Finds everything that is wrong with an annotation file, where ``load_coco`` refuses it or drops boxes.

Errors are what ``load_coco`` refuses, warnings are what training leaves out, clips or does not use.  The file
is read whole by ``json``, because a cleaned copy keeps what training does not look at.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_file import EDGE, FILE_NAME, NAME, int_of, refuse_other_than_utf8
from hrdet_cli.engine.data.checking.boxes import CheckedAnnotations, check_boxes
from hrdet_cli.engine.data.checking.entries import Entries
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_ANNOTATION,
    BROKEN_CATEGORY,
    BROKEN_PICTURE,
    NON_FINITE,
    REPEATED_FILE,
    REPEATED_PICTURE_ID,
    Problem,
    ProblemLog,
)
from hrdet_cli.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class JsonFile:
    """An annotation file as it is, whatever it holds.

    Attributes:
        num_non_finite: How often NaN or Infinity stands in it.
    """

    path: Path
    content: dict[str, Any]
    num_non_finite: int


@dataclass(frozen=True, slots=True, eq=False)
class CheckedPictures:
    """The M picture entries.

    Attributes:
        ids: ``(M,)``; 0 where there is none.
        has_id: ``(M,)`` which can be referred to.
        names: The M file names; None where there is none.
        sizes: ``(M, 2)`` height and width; 0 where there is none.
        is_sound: ``(M,)`` which have an id, a file name and a size.
    """

    entries: Entries
    ids: NDArray[np.int64]
    has_id: NDArray[np.bool_]
    names: list[str | None]
    sizes: NDArray[np.int64]
    is_sound: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class CheckedFile:
    """A file whose problems are in the log.

    Attributes:
        content: What it holds.
        num_categories: Entries of the list of categories.
        categories: Id and name of those that have both.
    """

    path: Path
    content: dict[str, Any]
    pictures: CheckedPictures
    annotations: CheckedAnnotations
    num_categories: int
    categories: list[tuple[int, str]]

    @property
    def num_pictures_without_boxes(self) -> int:
        """Pictures that training would have no box of, crowd regions not counted."""
        is_target = self.annotations.is_sound & ~self.annotations.is_crowd
        return len(self.pictures.entries) - len(np.unique(self.annotations.picture_rows[is_target]))

    @property
    def num_categories_without_boxes(self) -> int:
        """Categories of which no picture has a box."""
        return self.num_categories - len(np.unique(self.annotations.labels[self.annotations.is_sound]))


def read_json(path: Path) -> JsonFile:
    """Read a file that may hold anything, NaN and Infinity included.

    Raises:
        DataError: It cannot be read, or is not a JSON object.
    """
    num_non_finite = 0

    def count(text: str) -> float:
        nonlocal num_non_finite
        num_non_finite += 1
        return float(text)

    try:
        raw = path.read_bytes()
        refuse_other_than_utf8(raw, path=path)
        content = json.loads(raw, parse_constant=count, parse_int=int_of)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a COCO annotation file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}. Is the file complete?") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(f"{path} holds a {kind}, not an object with images, annotations and categories.")
    return JsonFile(path, content, num_non_finite)


def check_annotations(file: JsonFile, log: ProblemLog) -> CheckedFile:
    """Look at everything in a file that training or evaluation uses."""
    name = file.path.name
    pictures = _check_pictures(Entries("images", file.content, file=name, broken=BROKEN_PICTURE, log=log))
    kinds = Entries("categories", file.content, file=name, broken=BROKEN_CATEGORY, log=log)
    category_ids, has_category_id = kinds.ids("id")
    class_names, has_class_name = kinds.column("name", NAME)
    kinds.report_repeated(BROKEN_CATEGORY, "id", category_ids.tolist(), has_category_id)
    kinds.report_repeated(BROKEN_CATEGORY, "name", class_names, has_class_name)

    entries = Entries(
        "annotations", file.content, file=name, broken=BROKEN_ANNOTATION, log=log, may_be_empty=True
    )
    annotations = check_boxes(
        entries,
        picture_row_by_id=_row_by_id(pictures.ids, pictures.has_id),
        picture_names=pictures.names,
        picture_sizes=pictures.sizes,
        label_by_category_id=_row_by_id(category_ids, has_category_id),
    )
    if file.num_non_finite:
        what = f"has NaN or Infinity {file.num_non_finite} times; strict readers of JSON refuse that"
        log.add_one(Problem(NON_FINITE, name, None, what))
    is_whole = has_category_id & has_class_name
    categories = [(int(category_ids[row]), class_names[row]) for row in np.flatnonzero(is_whole).tolist()]
    return CheckedFile(file.path, file.content, pictures, annotations, len(kinds), categories)


def _check_pictures(entries: Entries) -> CheckedPictures:
    given_names, has_name = entries.column("file_name", FILE_NAME)
    names = [name if valid else None for name, valid in zip(given_names, has_name.tolist(), strict=True)]
    in_file = entries.file_of
    entries.file_of = lambda row: names[row] or in_file(row)
    ids, has_id = entries.ids("id")
    edges = [entries.column(key, EDGE) for key in ("height", "width")]
    has_size = edges[0][1] & edges[1][1]
    sizes = np.array(
        [
            (height, width) if valid else (0, 0)
            for height, width, valid in zip(edges[0][0], edges[1][0], has_size.tolist(), strict=True)
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    entries.report_repeated(REPEATED_PICTURE_ID, "id", ids.tolist(), has_id)
    entries.report_repeated(REPEATED_FILE, "file_name", names, has_name)
    return CheckedPictures(entries, ids, has_id, names, sizes, has_id & has_name & has_size)


def _row_by_id(ids: NDArray[np.int64], has_id: NDArray[np.bool_]) -> dict[int, int]:
    """The first row of each id."""
    rows = np.flatnonzero(has_id)[::-1]
    return dict(zip(ids[rows].tolist(), rows.tolist(), strict=True))
