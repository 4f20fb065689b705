"""Finds everything that is wrong with an annotation file, where ``load_coco`` refuses it or drops boxes.

Errors are what ``load_coco`` refuses, warnings are what training leaves out, clips or does not use.  The file
is read whole by ``json``, because a cleaned copy keeps what training does not look at.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_file import KEYS_BY_LIST
from hrdet_cli.engine.data.annotation_values import EDGE, FILE_NAME, NAME
from hrdet_cli.engine.data.checking.boxes import CheckedAnnotations, check_entries
from hrdet_cli.engine.data.checking.entries import Entries, unusable
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_ANNOTATION,
    BROKEN_CATEGORY,
    BROKEN_LIST,
    BROKEN_PICTURE,
    MISSING_SIZE,
    NON_FINITE,
    REPEATED_FILE,
    REPEATED_KEY,
    REPEATED_PICTURE_ID,
    RESPELT_FILE,
    Problem,
    ProblemKind,
    ProblemLog,
)
from hrdet_cli.engine.data.coco_urls import name_pictures
from hrdet_cli.engine.data.json_text import (
    ObjectWithRepeatedKeys,
    object_of,
    object_of_pairs,
    read_bytes,
    utf8_of,
)
from hrdet_cli.engine.data.places import Places
from hrdet_cli.engine.data.repeated_keys import contradictions
from hrdet_cli.wording import counted, first_few


@dataclass(frozen=True, slots=True, eq=False)
class JsonFile:
    """An annotation file as it is, whatever it holds.

    Attributes:
        num_non_finite: How often NaN or Infinity stands in it.
        repeated: Objects in it of which a key is given more than once.
        places: Where its entries stand, where it was made of files of another format.
        unread: What these files say besides: how often, by what it is.
    """

    path: Path
    content: dict[str, Any]
    num_non_finite: int = 0
    repeated: Sequence[ObjectWithRepeatedKeys] = ()
    places: Places = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class CheckedPictures:
    """The M picture entries.

    Attributes:
        ids: ``(M,)``; 0 where there is none.
        has_id: ``(M,)`` which can be referred to.
        names: The M file names; None where there is none.
        sizes: ``(M, 2)`` height and width; 0 where there is none.
        is_named: ``(M,)`` which have an id and a file name, and do not contradict themselves.
    """

    entries: Entries
    ids: NDArray[np.int64]
    has_id: NDArray[np.bool_]
    names: list[str | None]
    sizes: NDArray[np.int64]
    is_named: NDArray[np.bool_]

    @property
    def is_sound(self) -> NDArray[np.bool_]:
        """``(M,)`` which are named and have a size."""
        return np.logical_and(self.is_named, self.sizes.all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class CheckedFile:
    """A file whose problems are in the log.

    Attributes:
        content: What it holds.
        kinds: Its list of categories.
        categories: Id and name of those that have both.
    """

    path: Path
    content: dict[str, Any]
    pictures: CheckedPictures
    annotations: CheckedAnnotations
    kinds: Entries
    categories: list[tuple[int, str]]

    @property
    def num_pictures_without_boxes(self) -> int:
        """Pictures that training would have no box of, crowd regions not counted."""
        is_target = self.annotations.is_sound & ~self.annotations.is_crowd
        return len(self.pictures.entries) - len(np.unique(self.annotations.picture_rows[is_target]))

    def has_targets(self, classes: Sequence[str] | None = None) -> bool:
        """Whether training would have a box of any picture, of some classes alone where these are named."""
        is_target = self.annotations.is_sound & ~self.annotations.is_crowd
        if classes is not None:
            chosen = [label for label, item in enumerate(self.kinds.items) if item.get("name") in classes]
            is_target &= np.isin(self.annotations.labels, chosen)
        return bool(is_target.any())

    @property
    def num_categories_without_boxes(self) -> int:
        """Categories of which no picture has a box."""
        return len(self.kinds) - len(np.unique(self.annotations.labels[self.annotations.is_sound]))


def read_json(path: Path) -> JsonFile:
    """Read a file that may hold anything, NaN and Infinity included.

    Raises:
        DataError: It cannot be read, or is no JSON object that could be COCO's.
    """
    non_finite: list[str] = []
    repeated: list[ObjectWithRepeatedKeys] = []

    def float_of(text: str) -> float:
        non_finite.append(text)
        return float(text)

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = object_of_pairs(pairs)
        if isinstance(built, ObjectWithRepeatedKeys):
            repeated.append(built)
        return built

    text = utf8_of(read_bytes(path), path=path)
    content = object_of(text, path=path, parse_constant=float_of, object_pairs_hook=note)
    name_pictures(content.get("images"))
    return JsonFile(path, content, len(non_finite), repeated)


def check_annotations(file: JsonFile, log: ProblemLog) -> CheckedFile:
    """Look at everything in a file that training or evaluation uses, but for where boxes lie.

    That is `check_places`' work, once the sizes of pictures are settled.
    """
    name = file.path.name
    _check_repeated_keys(file, log)

    def entries_of(key: str, broken: ProblemKind, *, may_be_empty: bool = False) -> Entries:
        return Entries(
            key,
            file.content,
            file=name,
            broken=broken,
            log=log,
            may_be_empty=may_be_empty,
            place_of=file.places.get(key),
        )

    pictures = _check_pictures(entries_of("images", BROKEN_PICTURE))
    kinds = entries_of("categories", BROKEN_CATEGORY)
    category_ids, has_category_id = kinds.ids("id", numbers=kinds.numbers_of_texts())
    class_names, has_class_name = kinds.column("name", NAME)
    kinds.report_repeated(BROKEN_CATEGORY, "id", category_ids.tolist(), has_category_id)
    kinds.report_repeated(BROKEN_CATEGORY, "name", class_names, has_class_name)

    annotations = check_entries(
        entries_of("annotations", BROKEN_ANNOTATION, may_be_empty=True),
        picture_row_by_id=_row_by_id(pictures.ids, pictures.has_id),
        picture_names=pictures.names,
        picture_numbers=pictures.entries.numbers_of_texts(),
        category_numbers=kinds.numbers_of_texts(),
        label_by_category_id=_row_by_id(category_ids, has_category_id),
    )
    if file.num_non_finite:
        times = counted(file.num_non_finite, "time")
        what = f"has NaN or Infinity {times}; strict readers of JSON refuse that"
        log.add_one(Problem(NON_FINITE, name, None, what))
    is_whole = has_category_id & has_class_name
    categories = [(int(category_ids[row]), class_names[row]) for row in np.flatnonzero(is_whole).tolist()]
    return CheckedFile(file.path, file.content, pictures, annotations, kinds, categories)


def _check_pictures(entries: Entries) -> CheckedPictures:
    given_names, has_name = entries.column("file_name", FILE_NAME)
    names = [name if valid else None for name, valid in zip(given_names, has_name.tolist(), strict=True)]
    entries.call_by_pictures(lambda row: names[row])
    ids, has_id = entries.ids("id", numbers=entries.numbers_of_texts())
    sizes = _sizes_of(entries)
    entries.report_repeated(REPEATED_PICTURE_ID, "id", ids.tolist(), has_id)
    is_repeated = entries.report_repeated(REPEATED_FILE, "file_name", names, has_name)
    plain_names = [None if name is None else posixpath.normpath(name) for name in names]
    entries.report_repeated(RESPELT_FILE, "file_name", plain_names, has_name & ~is_repeated)
    return CheckedPictures(entries, ids, has_id, names, sizes, has_id & has_name & ~entries.is_contradictory)


def _sizes_of(entries: Entries) -> NDArray[np.int64]:
    """Height and width of each entry, 0 where one is missing or unusable."""
    columns = {key: entries.values(key, EDGE) for key in ("height", "width")}
    has_size = columns["height"][1] & columns["width"][1]
    entries.report(
        MISSING_SIZE,
        ~has_size & entries.is_object,
        lambda row: "; ".join(
            unusable(key, values[row], EDGE)
            for key, (values, is_valid) in columns.items()
            if not is_valid[row]
        ),
    )
    edges = [
        [value if valid else 0 for value, valid in zip(values, is_valid.tolist(), strict=True)]
        for values, is_valid in columns.values()
    ]
    return np.array(edges, dtype=np.int64).T.reshape(-1, 2)


def _check_repeated_keys(file: JsonFile, log: ProblemLog) -> None:
    """Lists given twice, and keys given twice where that is no harm; `Entries` tells of the others."""
    if isinstance(file.content, ObjectWithRepeatedKeys):
        for key in filter(file.content.values_by_key.__contains__, KEYS_BY_LIST):
            log.add_one(Problem(BROKEN_LIST, file.path.name, None, f"'{key}' is given more than once"))
    harmful = {
        id(item)
        for name, keys in KEYS_BY_LIST.items()
        if isinstance(items := file.content.get(name), list)
        for item in items
        if contradictions(item, keys)
    }
    keys_by_object = [
        item.values_by_key.keys() - (KEYS_BY_LIST.keys() if item is file.content else ())
        for item in file.repeated
        if id(item) not in harmful
    ]
    harmless = [keys for keys in keys_by_object if keys]
    if harmless:
        names = first_few(sorted(set[str]().union(*harmless)))
        what = (
            f"{names} given more than once in {counted(len(harmless), 'object')}; readers take the last value"
        )
        log.add_one(Problem(REPEATED_KEY, file.path.name, None, what, count=len(harmless)))


def _row_by_id(ids: NDArray[np.int64], has_id: NDArray[np.bool_]) -> dict[int, int]:
    """The first row of each id."""
    rows = np.flatnonzero(has_id)[::-1]
    return dict(zip(ids[rows].tolist(), rows.tolist(), strict=True))
