"""One list of an annotation file, examined column by column however broken it is."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_file import KEYS_BY_LIST
from hrdet_cli.engine.data.annotation_values import ID, NAME, Kind
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_LIST,
    NUMBER_FORM,
    TEXT_ID,
    Problem,
    ProblemKind,
    ProblemLog,
)
from hrdet_cli.engine.data.places import PlaceOf
from hrdet_cli.engine.data.repeated_keys import contradictions, repetition

_ABSENT = object()
_NO_NUMBERS: Mapping[str, int] = MappingProxyType({})


class Entries:
    """The entries of one list; what is wrong goes to a log.

    Args:
        name: The list's key in the file.
        content: The file.
        file: What problems call the file.
        broken: Kind of the problems of an entry that cannot be used.
        log: Collects the problems.
        may_be_empty: Whether a list without entries can be used.
        place_of: Where an entry stands in files of another format; None in COCO's own.

    Attributes:
        items: The entries; an empty object stands for what is no object.
        new_values: What a cleaned file has in place of values, by row and key.
        is_object: ``(N,)`` which entries are objects.
        is_contradictory: ``(N,)`` which give a key that is used several times with different values.
        file_of: What problems call the file of an entry, by its row.
    """

    def __init__(
        self,
        name: str,
        content: Mapping[str, Any],
        *,
        file: str,
        broken: ProblemKind,
        log: ProblemLog,
        may_be_empty: bool = False,
        place_of: PlaceOf | None = None,
    ) -> None:
        self._name = name
        self._file = file
        self._broken = broken
        self._log = log
        self._place_of = place_of
        self.file_of: Callable[[int], str] = lambda row: file if place_of is None else place_of(row).file
        found = content.get(name)
        items = found if isinstance(found, list) else []
        if not isinstance(found, list):
            what = f"'{name}' is not a list" if name in content else f"'{name}' is missing"
            log.add_one(Problem(BROKEN_LIST, file, None, what))
        elif not items and not may_be_empty:
            log.add_one(Problem(BROKEN_LIST, file, None, f"'{name}' is empty"))
        self.is_object = _flags(items, lambda item: isinstance(item, dict))
        self.items: list[dict[str, Any]] = [item if isinstance(item, dict) else {} for item in items]
        self.new_values: dict[int, dict[str, Any]] = {}
        self.report(broken, ~self.is_object, lambda _: "is not an object")
        self.is_contradictory = self._report_contradictions()

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.items)

    def call_by_pictures(self, picture_of: Callable[[int], str | None]) -> None:
        """Have problems call the file of an entry by its picture, where it has one and no file of its own."""
        if self._place_of is None:
            self.file_of = lambda row: picture_of(row) or self._file

    def report(self, kind: ProblemKind, is_wrong: NDArray[np.bool_], what: Callable[[int], str]) -> None:
        """A problem for each row that is wrong."""
        rows: list[int] = np.flatnonzero(is_wrong).tolist()
        self._log.add(kind, rows, lambda row: Problem(kind, self.file_of(row), self.item(row), what(row)))

    def column(
        self, key: str, kind: Kind, *, broken: ProblemKind | None = None
    ) -> tuple[list[Any], NDArray[np.bool_]]:
        """Values of one key, and which of them can be used; a problem for each that cannot.

        Args:
            key: The key.
            kind: What it may hold.
            broken: Kind of the problems, where it is not that of the entry.
        """
        values, is_valid = self.values(key, kind)
        self.report(
            broken or self._broken, ~is_valid & self.is_object, lambda row: unusable(key, values[row], kind)
        )
        return values, is_valid & self.is_object

    def values(self, key: str, kind: Kind) -> tuple[list[Any], NDArray[np.bool_]]:
        """Values of one key, and which of them can be used.

        A number that is only written in another way is taken for the number: one problem for all of them.
        """
        values = [item.get(key, _ABSENT) for item in self.items]
        if kind.is_optional:
            values = [kind.default if value is None or value is _ABSENT else value for value in values]
        is_valid = _flags(values, kind.is_valid)
        mended = []
        for row in np.flatnonzero(~is_valid).tolist():
            value = kind.mend(values[row])
            if kind.is_valid(value):
                mended.append(row)
                values[row], is_valid[row] = value, True
                self.change(row, key, value)
        if mended:
            self._log.add_one(self._number_form(NUMBER_FORM, key, mended, "stands for the number"))
        return values, is_valid

    def value(self, row: int, key: str) -> Any:
        """The value of one key as a cleaned file has it; None where there is none."""
        return self.new_values.get(row, {}).get(key, self.items[row].get(key))

    def change(self, row: int, key: str, value: Any) -> None:
        """Have another value in a cleaned file."""
        self.new_values.setdefault(row, {})[key] = value

    def cleaned(self, row: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """An entry as a cleaned file has it; the entry itself where nothing of it changes."""
        changes = {**self.new_values.get(row, {}), **changes}
        return {**self.items[row], **changes} if changes else self.items[row]

    def numbers_of_texts(self) -> dict[str, int]:
        """Numbers that no entry has, for ids that are texts: names tell entries apart as well."""
        ids = [ID.mend(item.get("id")) for item in self.items]
        taken = {value for value in ids if ID.is_valid(value)}
        free = (number for number in itertools.count(1) if number not in taken)
        return dict(zip(dict.fromkeys(filter(NAME.is_valid, ids)), free, strict=False))

    def ids(
        self,
        key: str,
        *,
        numbers: Mapping[str, int] = _NO_NUMBERS,
        broken: ProblemKind | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids ``(N,)`` of one key, 0 where there is none, and which rows have one.

        Args:
            key: The key.
            numbers: What stands for ids that are texts.
            broken: As for `column`.
        """
        values, is_valid = self.values(key, ID)
        is_text = ~is_valid & _flags(values, lambda value: isinstance(value, str) and value in numbers)
        rows: list[int] = np.flatnonzero(is_text).tolist()
        for row in rows:
            values[row] = numbers[values[row]]
            self.change(row, key, values[row])
        if rows:
            self._log.add_one(self._number_form(TEXT_ID, key, rows, "becomes the number"))
        is_valid = (is_valid | is_text) & self.is_object
        self.report(
            broken or self._broken, ~is_valid & self.is_object, lambda row: unusable(key, values[row], ID)
        )
        if not is_valid.all():
            values = [value if valid else 0 for value, valid in zip(values, is_valid.tolist(), strict=True)]
        return np.array(values, dtype=np.int64), is_valid

    def report_repeated(
        self, kind: ProblemKind, key: str, values: Sequence[Any], is_valid: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """A problem for each valid value that an earlier row has; returns those rows."""
        first_by_value: dict[Any, int] = {}
        first = np.arange(len(values))
        for row in np.flatnonzero(is_valid).tolist():
            first[row] = first_by_value.setdefault(values[row], row)
        is_repeated: NDArray[np.bool_] = first != np.arange(len(values))
        self.report(
            kind,
            is_repeated,
            lambda row: f"{key} {values[row]!r:.60} is taken by {self.item(int(first[row]))}",
        )
        return is_repeated

    def item(self, row: int) -> str:
        """What problems call an entry."""
        if self._place_of is not None:
            return self._place_of(row).item
        if "id" not in self.items[row]:
            return f"{self._name}[{row}]"
        return f"{self._name}[{row}] (id {self.items[row]['id']!r:.40})"

    def _report_contradictions(self) -> NDArray[np.bool_]:
        keys = KEYS_BY_LIST[self._name]
        found = {row: values for row, item in enumerate(self.items) if (values := contradictions(item, keys))}
        is_contradictory = np.zeros(len(self.items), dtype=np.bool_)
        is_contradictory[list(found)] = True
        self.report(
            self._broken,
            is_contradictory,
            lambda row: " and ".join(repetition(key, values) for key, values in found[row].items()),
        )
        return is_contradictory

    def _number_form(self, kind: ProblemKind, key: str, rows: Sequence[int], verb: str) -> Problem:
        first = rows[0]
        item, given = self.item(first), self.items[first].get(key)
        so_in = f"; so in {len(rows):,} entries" if len(rows) > 1 else ""
        what = f"{key} {given!r:.60} {verb} {self.value(first, key)!r:.60}{so_in}"
        return Problem(kind, self._file, item, what, count=len(rows))


def unusable(key: str, value: Any, kind: Kind) -> str:
    """What is said of a value that cannot be used."""
    given = "is missing" if value is _ABSENT else f"is {value!r:.60}"
    return f"{key} {given}; expected {kind.expected}"


def _flags(values: Sequence[Any], test: Callable[[Any], bool]) -> NDArray[np.bool_]:
    return np.fromiter(map(test, values), dtype=np.bool_, count=len(values))
