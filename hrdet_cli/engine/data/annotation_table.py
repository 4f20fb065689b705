"""The lists of an annotation file, read strictly column by column, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_values import Kind
from hrdet_cli.engine.data.ground_truth import PackedMasks, pack_segmentations
from hrdet_cli.engine.data.places import PlaceOf
from hrdet_cli.engine.data.repeated_keys import repetition
from hrdet_cli.engine.data.segmentation_reading import read_segmentations
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.errors import DataError
from hrdet_cli.wording import command

_MAX_PROBLEMS_SHOWN = 20
_SEGMENTATION = "segmentation"


class Problems:
    """Problems found in one file or data set: counts all, remembers the first few.

    Args:
        refusal: What an error begins with: the file, and that it cannot be used.
        check: What of the command line stands behind ``hrdet check-data`` for it to mend what it can.
    """

    def __init__(self, refusal: str, check: Sequence[str | Path]) -> None:
        self._refusal = refusal
        self._check = check
        self._first: list[str] = []
        self._count = 0

    @classmethod
    def of_coco(cls, path: Path, images: Path | None) -> Self:
        """Those of a COCO file, and of its pictures where these are known."""
        places = (path,) if images is None else (path, images)
        return cls(
            f"{path} is not a COCO annotation file that can be used. Regenerate it, or mend it", places
        )

    def add(self, problem: str) -> None:
        """Note a problem."""
        self._count += 1
        if len(self._first) < _MAX_PROBLEMS_SHOWN:
            self._first.append(problem)

    def raise_if_any(self) -> None:
        """Raise.

        Raises:
            DataError: There are problems; lists the first of them.
        """
        if not self._count:
            return
        mend = command("hrdet", "check-data", *self._check, "--fix-out", "mended.json")
        lines = [f"{self._refusal}; {mend} mends what it can:"]
        lines += [f"  {problem}" for problem in self._first]
        if self._count > len(self._first):
            lines.append(f"  and {self._count - len(self._first)} more")
        raise DataError("\n".join(lines))


class Table:
    """One of the lists of an annotation file, read column by column; what is wrong goes to ``problems``.

    Args:
        name: The list's key in the file.
        content: The file's lists.
        problems: Is told what is wrong.
        repeated: Values of keys that an entry gives more than once, by its row and the key.
        may_be_empty: Whether a list without entries can be used.
        place_of: Where an entry stands in files of another format; None in COCO's own.
    """

    def __init__(
        self,
        name: str,
        content: Mapping[str, Any],
        problems: Problems,
        *,
        repeated: Mapping[int, Mapping[str, list[Any]]] = MappingProxyType({}),
        may_be_empty: bool = False,
        place_of: PlaceOf | None = None,
    ) -> None:
        self._name = name
        self._place_of = place_of
        self._problems = problems
        self._items: list[msgspec.Struct] = []
        items = content.get(name)
        if not isinstance(items, list):
            problems.add(f"'{name}' is missing" if name not in content else f"'{name}' is not a list")
        elif not items and not may_be_empty:
            problems.add(f"'{name}' is empty")
        else:
            self._items = items
            for row, item in enumerate(items):
                if not isinstance(item, msgspec.Struct):
                    problems.add(f"{name}[{row}] is not an object")
            for row, values_by_key in repeated.items():
                for key, values in values_by_key.items():
                    problems.add(f"{self._item(row)}: {repetition(key, values)}")

    def column(self, key: str, kind: Kind) -> list[Any]:
        """Values of one key; a problem for each that is missing or of another kind.

        Where the kind is optional, null is as good as nothing: both become its default.
        """
        values = [getattr(item, key) for item in self._items]
        if kind.is_optional:
            values = [kind.default if value is None or value is msgspec.UNSET else value for value in values]
        for row, value in enumerate(values):
            if not kind.is_valid(value):
                given = "is missing" if value is msgspec.UNSET else f"is {value!r:.60}"
                self._problems.add(f"{self._item(row)}: {key} {given}; expected {kind.expected}")
        return values

    def has(self, key: str) -> bool:
        """Whether any entry gives a key."""
        return any(getattr(item, key, msgspec.UNSET) is not msgspec.UNSET for item in self._items)

    def positions(self, key: str, values: list[Any]) -> dict[Any, int]:
        """Position of each value; a problem for each that occurs twice."""
        position_by_value: dict[Any, int] = {}
        for row, value in enumerate(values):
            first = position_by_value.setdefault(value, row)
            if first != row:
                self._problems.add(f"{self._item(row)}: {key} {value!r} is taken by {self._item(first)}")
        return position_by_value

    def places(self) -> tuple[str, ...] | None:
        """Where the entries stand in files of another format; None in COCO's own."""
        if self._place_of is None:
            return None
        return tuple(str(self._place_of(row)) for row in range(len(self._items)))

    def look_up(self, key: str, ids: list[int], position_by_id: dict[int, int]) -> NDArray[np.int64]:
        """Position of the item each row refers to; a problem for each row that refers to none."""
        positions = [position_by_id.get(value, -1) for value in ids]
        for row, position in enumerate(positions):
            if position < 0:
                self._problems.add(f"{self._item(row)}: there is no {key} {ids[row]}")
        return np.array(positions, dtype=np.int64)

    def segmentations(
        self, rows: NDArray[np.int64], has_one: NDArray[np.bool_], sizes: NDArray[np.int32]
    ) -> Segmentations:
        """The segmentations of some rows, in their order; a problem for each that is wrong.

        Args:
            rows: ``(B,)``.
            has_one: ``(B,)`` which of them are looked at.
            sizes: ``(B, 2)`` height and width of their pictures.
        """
        given = [
            getattr(self._items[row], _SEGMENTATION) if looked_at else None
            for row, looked_at in zip(rows.tolist(), has_one.tolist(), strict=True)
        ]
        return read_segmentations(
            given, sizes, lambda position, what: self._blame_segmentation(int(rows[position]), what)
        )

    def packed_masks(self, sizes: NDArray[np.int32]) -> PackedMasks:
        """What the segmentations of all N rows cover; a problem for each that is wrong.

        Args:
            sizes: ``(N, 2)`` height and width of their pictures.
        """
        given = [getattr(item, _SEGMENTATION) for item in self._items]
        return pack_segmentations(given, sizes, self._blame_segmentation)

    def _blame_segmentation(self, row: int, what: str) -> None:
        self._problems.add(f"{self._item(row)}: {_SEGMENTATION} {what}")

    def _item(self, row: int) -> str:
        if self._place_of is not None:
            return str(self._place_of(row))
        given = getattr(self._items[row], "id", None)
        return f"{self._name}[{row}] (id {None if given is msgspec.UNSET else given!r:.40})"
