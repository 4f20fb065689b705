"""One list of an annotation file, examined column by column however broken it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_file import ID, Kind
from hrdet_cli.engine.data.checking.problems import BROKEN_LIST, Problem, ProblemKind, ProblemLog

_ABSENT = object()


class Entries:
    """The entries of one list; what is wrong goes to a log.

    Args:
        name: The list's key in the file.
        content: The file.
        file: What problems call the file.
        broken: Kind of the problems of an entry that cannot be used.
        log: Collects the problems.
        may_be_empty: Whether a list without entries can be used.

    Attributes:
        items: The entries; an empty object stands for what is no object.
        is_object: ``(N,)`` which entries are objects.
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
    ) -> None:
        self._name = name
        self._broken = broken
        self._log = log
        self.file_of: Callable[[int], str] = lambda _: file
        found = content.get(name)
        items = found if isinstance(found, list) else []
        if not isinstance(found, list):
            what = f"'{name}' is not a list" if name in content else f"'{name}' is missing"
            log.add_one(Problem(BROKEN_LIST, file, None, what))
        elif not items and not may_be_empty:
            log.add_one(Problem(BROKEN_LIST, file, None, f"'{name}' is empty"))
        self.is_object = _flags(items, lambda item: type(item) is dict)
        self.items: list[dict[str, Any]] = [item if type(item) is dict else {} for item in items]
        self.report(broken, ~self.is_object, lambda _: "is not an object")

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.items)

    def report(self, kind: ProblemKind, is_wrong: NDArray[np.bool_], what: Callable[[int], str]) -> None:
        """A problem for each row that is wrong."""
        rows: list[int] = np.flatnonzero(is_wrong).tolist()
        self._log.add(kind, rows, lambda row: Problem(kind, self.file_of(row), self.item(row), what(row)))

    def column(
        self, key: str, kind: Kind, *, default: Any = _ABSENT, broken: ProblemKind | None = None
    ) -> tuple[list[Any], NDArray[np.bool_]]:
        """Values of one key, and which of them can be used; a problem for each that cannot.

        Args:
            key: The key.
            kind: What it may hold.
            default: Stands for an absent value; without it, absence is a problem.
            broken: Kind of the problems, where it is not that of the entry.
        """
        values = [item.get(key, default) for item in self.items]
        is_valid = _flags(values, kind.is_valid)
        self.report(
            broken or self._broken,
            ~is_valid & self.is_object,
            lambda row: f"{key} {_given(values[row])}; expected {kind.expected}",
        )
        return values, is_valid & self.is_object

    def ids(
        self, key: str, *, broken: ProblemKind | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids ``(N,)`` of one key, 0 where there is none, and which rows have one."""
        values, is_valid = self.column(key, ID, broken=broken)
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
        if "id" not in self.items[row]:
            return f"{self._name}[{row}]"
        return f"{self._name}[{row}] (id {self.items[row]['id']!r:.40})"


def _flags(values: Sequence[Any], test: Callable[[Any], bool]) -> NDArray[np.bool_]:
    return np.fromiter(map(test, values), dtype=np.bool_, count=len(values))


def _given(value: Any) -> str:
    return "is missing" if value is _ABSENT else f"is {value!r:.60}"
