"""Finds label maps that a semantic branch could not learn from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from hrdet_cli.engine.data.checking.annotations import CheckedPictures
from hrdet_cli.engine.data.checking.looking import Looked, look_at_all, without_name
from hrdet_cli.engine.data.checking.problems import (
    MISSING_MAP,
    UNKNOWN_LABEL,
    UNREADABLE_MAP,
    WRONG_MAP_SIZE,
    Problem,
    ProblemKind,
    ProblemLog,
)
from hrdet_cli.engine.data.label_maps import LabelMapError, LabelMaps, map_name
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

_KINDS = MappingProxyType({"unreadable": UNREADABLE_MAP, "size": WRONG_MAP_SIZE, "label": UNKNOWN_LABEL})


@dataclass(frozen=True, slots=True)
class MapFault:
    """What is wrong with a picture's label map, of the kind that it is."""

    row: int
    kind: ProblemKind
    what: str


def find_maps(pictures: CheckedPictures, maps: LabelMaps, log: ProblemLog) -> list[int]:
    """Look for the map of every named picture without opening any; a problem for each that is missing.

    Returns:
        Rows of pictures whose maps are there.
    """
    name_by_row = {row: name for row, name in enumerate(pictures.names) if name is not None}
    missing = set(maps.find([*name_by_row.values()]).missing)
    rows = [row for row, name in name_by_row.items() if map_name(name) in missing]

    def describe(row: int) -> Problem:
        name = map_name(name_by_row[row])
        return Problem(MISSING_MAP, name, pictures.entries.item(row), maps.why_missing(name))

    log.add(MISSING_MAP, rows, describe)
    return sorted(name_by_row.keys() - set(rows))


def open_maps(
    pictures: CheckedPictures, rows: Sequence[int], maps: LabelMaps, log: ProblemLog, *, num_workers: int
) -> Iterator[int]:
    """Decode label maps as training does; a problem for each that it could not use.

    Args:
        pictures: The entries.
        rows: Those whose maps are there.
        maps: The maps.
        log: Collects the problems.
        num_workers: As of `look_at_all`, which also tells of errors.

    Yields:
        How many were opened.
    """
    faults: dict[int, MapFault] = {}
    looked: Looked[MapFault]
    for looked in look_at_all(len(rows), partial(_look_at, pictures, rows, maps), num_workers=num_workers):
        faults |= {fault.row: fault for fault in looked.findings}
        yield looked.num_done

    def describe(row: int) -> Problem:
        fault = faults[row]
        name = map_name(pictures.names[row] or "")
        return Problem(fault.kind, name, pictures.entries.item(row), fault.what)

    for kind in _KINDS.values():
        log.add(kind, [row for row, fault in faults.items() if fault.kind == kind], describe)


def _look_at(
    pictures: CheckedPictures, rows: Sequence[int], maps: LabelMaps, position: int
) -> MapFault | None:
    row = rows[position]
    name = pictures.names[row] or ""
    try:
        maps.labels_of(name, Size(*pictures.sizes[row].tolist()))
    except LabelMapError as error:
        return MapFault(row, _KINDS[error.fault], error.what)
    except DataError as error:
        return MapFault(row, UNREADABLE_MAP, without_name(error, map_name(name)))
    return None
