"""Polygons around the pixels of a bitmap, along their edges."""

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]  # x, y


def outlines_of(bitmap: NDArray[np.bool_]) -> list[list[int]] | None:
    """The polygons around the pixels that are set, which enclose just these.

    Pixels that touch at a corner only are in polygons of their own.

    Args:
        bitmap: ``(H, W)``.

    Returns:
        Corners ``x, y, x, y, ...`` of each, clockwise; None where the pixels enclose others, which polygons
        cannot leave out.
    """
    ends = _edges_of(bitmap)
    polygons = []
    while ends:
        corners = _take_loop(ends)
        if _doubled_area(corners) < 0:
            return None
        polygons.append([number for corner in corners for number in corner])
    return polygons


def _edges_of(bitmap: NDArray[np.bool_]) -> dict[Point, list[Point]]:
    """Ends of the edges of pixels that are set, by their starts; these pixels are to the right."""
    padded = np.pad(bitmap, 1)
    inner = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above
        (padded[1:-1, 2:], (1, 0), (1, 1)),  # right
        (padded[2:, 1:-1], (1, 1), (0, 1)),  # below
        (padded[1:-1, :-2], (0, 1), (0, 0)),  # left
    )
    ends: dict[Point, list[Point]] = {}
    for neighbour, (start_x, start_y), (end_x, end_y) in sides:
        for y, x in zip(*(places.tolist() for places in np.nonzero(inner & ~neighbour)), strict=True):
            ends.setdefault((x + start_x, y + start_y), []).append((x + end_x, y + end_y))
    return ends


def _take_loop(ends: dict[Point, list[Point]]) -> list[Point]:
    """Take the edges of one loop out; returns the points where it turns."""
    first = start = next(iter(ends))
    direction = (0, 0)
    corners: list[Point] = []
    while True:
        x, y = start
        right_turn = (x - direction[1], y + direction[0])  # stays at the pixel that is there
        candidates = ends.get(start, [])
        if start == first and corners and right_turn not in candidates:
            return corners
        end = right_turn if right_turn in candidates else candidates[0]
        candidates.remove(end)
        if not candidates:
            del ends[start]
        if (new_direction := (end[0] - x, end[1] - y)) != direction:
            corners.append(start)
        start, direction = end, new_direction


def _doubled_area(corners: list[Point]) -> int:
    """Twice the area of a polygon; negative where it goes round against the clock."""
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs)
