"""Segmentations of many annotations, read from their JSON into flat arrays.

A thousand at a time are decoded and looked at together, as most files have nothing wrong. Where something is,
its thousand are looked at one by one.
"""

import itertools
import json
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_values import MAX_COORDINATE
from hrdet_cli.engine.data.json_text import int_of
from hrdet_cli.engine.data.run_lengths import unpack_all
from hrdet_cli.engine.data.segmentation_values import (
    FEWEST_NUMBERS,
    LONGEST_OUTLINE,
    MOST_PIXELS,
    longest_outline,
    polygons_in,
    runs_in,
)
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.geometry import Size

Sizes = NDArray[np.integer[Any]]  # (B, 2)

_AT_ONCE = 1000


class _Runs(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str | list[int]


_Typed = list[list[float]] | _Runs | None
_DECODER = msgspec.json.Decoder(list[_Typed])


def read_segmentations(
    given: Sequence[Any], sizes: Sizes, report: Callable[[int, str], None]
) -> Segmentations:
    """Read segmentations; an annotation that has none, or none that is right, has neither polygons nor runs.

    A polygon of fewer than three corners encloses nothing and is left out.

    Args:
        given: Of B annotations, ``msgspec.Raw`` or what was made of it; ``UNSET`` and null stand for none.
        sizes: ``(B, 2)`` height and width of their pictures.
        report: Is told the row of each that is wrong, and what is wrong with it.
    """
    growing = _Growing()
    for start in range(0, len(given), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        if not growing.add_at_once(_decode_at_once(given[rows]), sizes[rows]):
            for row, value in enumerate(given[rows], start):
                try:
                    growing.add(value, sizes[row])
                except ValueError as error:
                    report(row, str(error))
                    growing.add(None, sizes[row])
    return growing.finish()


def _decode_at_once(chunk: Sequence[Any]) -> list[_Typed] | None:
    """All values of a chunk; None where one is neither polygons nor runs."""
    texts = [b"null" if value is msgspec.UNSET or value is None else value for value in chunk]
    if not all(isinstance(text, msgspec.Raw | bytes) for text in texts):
        return None
    try:
        return _DECODER.decode(b"[" + b",".join(texts) + b"]")
    except msgspec.MsgspecError:
        return None


def decode_segmentation(text: msgspec.Raw) -> Any:
    """What JSON says.

    Raises:
        ValueError: It is nested too deeply; says so.
    """
    try:
        return json.loads(bytes(text), parse_int=int_of)
    except RecursionError as error:
        raise ValueError("is nested too deeply to be read") from error


class _Growing:
    """Segmentations in the making; numbers are kept in C's types, never as Python's for long."""

    def __init__(self) -> None:
        self._coordinates = [np.zeros(0, dtype=np.float32)]
        self._corner_counts = array("q")
        self._polygon_counts = array("q")
        self._runs = [np.zeros(0, dtype=np.int32)]
        self._run_counts = array("q")

    def add_at_once(self, values: list[_Typed] | None, sizes: Sizes) -> bool:
        """Add many; False where something is wrong with one of them, and nothing is added then."""
        if values is None:
            return False
        polygons = [_whole(value) if isinstance(value, list) else [] for value in values]
        coordinates = _flat(polygons)
        is_odd = any(
            len(polygon) % 2 or len(polygon) == 2
            for value in values
            if isinstance(value, list)
            for polygon in value
        )
        runs = _runs_at_once(values, sizes)
        if is_odd or np.abs(coordinates).max(initial=0) > MAX_COORDINATE or runs is None:
            return False
        num_numbers = [len(polygon) for value in polygons for polygon in value]
        if longest_outline(coordinates, num_numbers) > LONGEST_OUTLINE:
            return False
        self._append(polygons, coordinates, *runs)
        return True

    def add(self, value: Any, size: NDArray[np.integer[Any]]) -> None:
        """Add one.

        Raises:
            ValueError: Something is wrong with it; says what. Nothing was added.
        """
        if isinstance(value, msgspec.Raw):
            value = decode_segmentation(value)
        polygons: list[list[float]] = []
        lengths = np.zeros(0, dtype=np.int64)
        if isinstance(value, list):
            polygons = polygons_in(value)
        elif value is not None and value is not msgspec.UNSET:
            lengths = runs_in(value, Size(*size.tolist()))
        whole = [_whole(polygons)]
        self._append(whole, _flat(whole), lengths, np.array([len(lengths)]))

    def finish(self) -> Segmentations:
        """All that was added."""
        return Segmentations(
            corners=np.concatenate(self._coordinates).reshape(-1, 2),
            corner_offsets=_offsets_of(self._corner_counts),
            polygon_offsets=_offsets_of(self._polygon_counts),
            runs=np.concatenate(self._runs),
            run_offsets=_offsets_of(self._run_counts),
        )

    def _append(
        self,
        polygons: Sequence[list[list[float]]],
        coordinates: NDArray[np.float64],
        runs: NDArray[np.int64],
        run_counts: NDArray[np.int64],
    ) -> None:
        self._polygon_counts.extend(map(len, polygons))
        self._corner_counts.extend(len(polygon) // 2 for given in polygons for polygon in given)
        self._coordinates.append(coordinates.astype(np.float32))
        self._runs.append(runs.astype(np.int32))
        self._run_counts.extend(run_counts.tolist())


def _whole(polygons: list[list[float]]) -> list[list[float]]:
    """The polygons that have three corners or more."""
    return [polygon for polygon in polygons if len(polygon) >= FEWEST_NUMBERS]


def _flat(polygons: Sequence[list[list[float]]]) -> NDArray[np.float64]:
    chain = itertools.chain.from_iterable
    return np.fromiter(chain(chain(polygons)), dtype=np.float64)


def _runs_at_once(
    values: Sequence[_Typed], sizes: Sizes
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Lengths of all runs of a chunk, and how many each value has; None where something is wrong."""
    counts = np.zeros(len(values), dtype=np.int64)
    found = [(row, value) for row, value in enumerate(values) if isinstance(value, _Runs)]
    if not found:
        return np.zeros(0, dtype=np.int64), counts
    rows = [row for row, _ in found]
    texts = [value.counts.encode() for _, value in found if isinstance(value.counts, str)]
    lists = [value.counts for _, value in found if isinstance(value.counts, list)]
    try:
        if len(texts) == len(found):
            lengths, offsets = unpack_all(texts)
        elif len(lists) == len(found):
            lengths = np.array(list(itertools.chain.from_iterable(lists)), dtype=np.int64)
            offsets = _offsets_of(array("q", map(len, lists)))
        else:
            return None
    except (ValueError, OverflowError):
        return None
    totals = np.diff(np.concatenate([[0], np.cumsum(lengths)])[offsets])
    is_right = (np.array([value.size for _, value in found]) == sizes[rows]).all()
    is_right &= lengths.min(initial=0) >= 0
    if not is_right or (totals != sizes[rows].astype(np.int64).prod(axis=1)).any():
        return None
    if totals.max(initial=0) > MOST_PIXELS:
        return None
    counts[rows] = np.diff(offsets)
    return lengths, counts


def _offsets_of(counts: "array[int]") -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.frombuffer(counts, dtype=np.int64))]).astype(np.int64)
