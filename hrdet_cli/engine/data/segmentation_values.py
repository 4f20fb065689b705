"""What the segmentation of an annotation may be: polygons, or run lengths in one of COCO's two forms."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_values import MAX_COORDINATE
from hrdet_cli.engine.data.run_lengths import unpack_run_lengths, why_not_packed
from hrdet_cli.engine.geometry import Size

FEWEST_NUMBERS = 6
"""Of a polygon: x and y of three corners."""

LONGEST_OUTLINE = 1 << 22
"""Of a polygon, in pixels: four times the longest edge of a picture. Memory of pycocotools goes with it."""
MOST_PIXELS = (1 << 31) - 1
"""Of a picture whose masks are run lengths, which are kept in 32 bits."""

_EXPECTED = 'polygons [[x1, y1, x2, y2, x3, y3, ...], ...], or runs {"size": [height, width], "counts": ...}'


def polygons_in(value: Sequence[Any]) -> list[list[float]]:
    """The polygons of a segmentation that is a list: lists of x, y, x, y, ...

    Raises:
        ValueError: It is no list of polygons; says what it is.
    """
    for position, polygon in enumerate(value):
        if not isinstance(polygon, list):
            raise ValueError(f"is {value!r:.60}; expected {_EXPECTED}")
        if not {int, float}.issuperset(map(type, polygon)):
            wrong = next(number for number in polygon if type(number) not in (int, float))
            raise ValueError(f"has {wrong!r:.40} in polygon {position}; expected numbers x1, y1, x2, y2, ...")
        if len(polygon) == 2:
            raise ValueError(
                f"has the point {polygon!r:.40} in place of polygon {position}; expected {_EXPECTED}"
            )
        if len(polygon) % 2:
            raise ValueError(f"has {len(polygon)} numbers in polygon {position}; expected pairs of x and y")
        if polygon and not _are_within(polygon, MAX_COORDINATE):
            wrong = next(number for number in polygon if not abs(number) <= MAX_COORDINATE)
            raise ValueError(f"has {wrong!r:.40} in polygon {position}; numbers go to {MAX_COORDINATE:g}")
        may_be_long = polygon and max(max(polygon), -min(polygon)) * len(polygon) > LONGEST_OUTLINE
        if may_be_long and (length := longest_outline(np.array(polygon), [len(polygon)])) > LONGEST_OUTLINE:
            raise ValueError(
                f"has an outline of {length:,.0f} pixels in polygon {position}; no picture has more than "
                f"{LONGEST_OUTLINE:,}"
            )
    return list(value)


def _are_within(numbers: Sequence[float], limit: float) -> bool:
    """Whether all numbers are, NaN being in no limits; a third of the time that one by one takes."""
    return abs(sum(numbers)) <= limit * len(numbers) and min(numbers) >= -limit and max(numbers) <= limit


def longest_outline(coordinates: NDArray[np.float64], num_numbers: Sequence[int]) -> float:
    """The longest outline of some polygons, of each side along its longer axis as pycocotools counts points.

    Args:
        coordinates: ``(S,)`` x and y in turn, of one polygon after the other.
        num_numbers: How many are each polygon's; more than none.

    Returns:
        Pixels; of outlines that cannot be longer than `LONGEST_OUTLINE`, perhaps more than they are.
    """
    at_most = float(np.abs(coordinates).max(initial=0)) * max(num_numbers, default=0)
    if at_most <= LONGEST_OUTLINE:
        return at_most
    corners, ends = coordinates.reshape(-1, 2), np.cumsum(num_numbers) // 2
    starts = np.concatenate([[0], ends[:-1]])
    before = np.arange(-1, len(corners) - 1)
    before[starts] = ends - 1
    sides = np.abs(corners - corners[before]).max(axis=1)
    return float(np.add.reduceat(sides, starts).max())


def mended_polygons(value: Any) -> Any:
    """The polygons of a segmentation that only writes them in another way; every other value as it is.

    One polygon by itself, as a list of numbers or of points ``[x, y]``, or several as lists of points.
    """
    if not isinstance(value, list) or not value:
        return value
    if len(value) >= FEWEST_NUMBERS and len(value) % 2 == 0 and all(map(_is_number, value)):
        return [value]
    if _are_points(value):
        return [list(itertools.chain.from_iterable(value))]
    if all(map(_are_points, value)):
        return [list(itertools.chain.from_iterable(points)) for points in value]
    return value


def _are_points(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 2 * len(value) >= FEWEST_NUMBERS
        and all(
            isinstance(point, list) and len(point) == 2 and all(map(_is_number, point)) for point in value
        )
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def runs_in(value: Any, size: Size) -> NDArray[np.int64]:
    """The lengths of the runs of a segmentation that is an object, as `Segmentations` has them.

    Args:
        value: An object with ``size`` and ``counts``: lengths, or a text that they are packed into.
        size: Of the picture.

    Raises:
        ValueError: These are no runs of this picture; says what is wrong with them.
    """
    if not isinstance(value, dict):
        raise ValueError(f"is {value!r:.60}; expected {_EXPECTED}")
    given, counts = value.get("size"), value.get("counts")
    if not isinstance(given, list | tuple) or [type(edge) for edge in given] != [int, int]:
        raise ValueError(f"has size {given!r:.40}; expected [height, width]")
    if tuple(given) != (size.height, size.width):
        raise ValueError(
            f"has size {given!r:.40}; expected [{size.height}, {size.width}], height and width of its picture"
        )
    if size.num_pixels > MOST_PIXELS:
        raise ValueError(f"has runs of {size.num_pixels:,} pixels; they are read of {MOST_PIXELS:,} at most")
    if isinstance(counts, str):
        if (reason := why_not_packed(counts)) is not None:
            raise ValueError(f"has counts {counts!r:.40}, which are no packed lengths of runs: {reason}")
        runs = unpack_run_lengths(counts.encode())
    elif isinstance(counts, list) and all(type(count) is int for count in counts):
        runs = np.array([min(count, size.num_pixels + 1) for count in counts], dtype=np.int64)
    else:
        raise ValueError(
            f"has counts {counts!r:.40}; expected lengths of runs, or the text they are packed in"
        )
    if len(runs) and runs.min() < 0:
        raise ValueError(f"has a run of {runs.min()} pixels; expected lengths of 0 or more")
    if (total := int(runs.sum())) != size.num_pixels:
        relation = "more" if total > size.num_pixels else "fewer"
        raise ValueError(f"has runs of {relation} pixels than the {size.num_pixels:,} of its picture")
    return runs
