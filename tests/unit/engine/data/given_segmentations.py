"""Segmentations of objects that a test gives as polygons or bitmaps."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.segmentations import Segmentations

Polygon = NDArray[np.float32]  # (corners, 2)


def segmentations_of(objects: Sequence[Sequence[Polygon] | NDArray[np.bool_]]) -> Segmentations:
    """Of objects that are polygons, or a bitmap of the picture."""
    polygons = [[] if isinstance(given, np.ndarray) else given for given in objects]
    runs = [runs_of(given) if isinstance(given, np.ndarray) else [] for given in objects]
    flat = [polygon for given in polygons for polygon in given]
    return Segmentations(
        corners=np.concatenate([np.zeros((0, 2)), *flat]).astype(np.float32),
        corner_offsets=_offsets_of([len(polygon) for polygon in flat]),
        polygon_offsets=_offsets_of([len(given) for given in polygons]),
        runs=np.array([run for given in runs for run in given], dtype=np.int32),
        run_offsets=_offsets_of([len(given) for given in runs]),
    )


def runs_of(bitmap: NDArray[np.bool_]) -> list[int]:
    """Lengths of its runs down the columns, the first outside the object."""
    runs = [(value, len(list(group))) for value, group in itertools.groupby(bitmap.ravel(order="F").tolist())]
    return [length for _, length in ([(False, 0)] if runs[0][0] else []) + runs]


def _offsets_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
