"""Chooses canvases for a data set: a few sizes that waste little on its pictures at the scales of a run."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.padding import rounded_up
from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS, Scale, Size

_MOST_CANDIDATES = 300  # merging takes the square of it in memory and the cube in time
_COARSEST_ROUNDING_PIXELS = 1024


def choose_canvases(
    count_by_size: Mapping[Size, int], augmentation: Augmentation, *, num_canvases: int
) -> tuple[Scale, ...]:
    """Find canvases with little padding.

    Every size that a picture can have on its canvas, rounded up to the network's stride, starts as a canvas
    of its own. The two whose union adds the fewest pixels to all batches are merged, until few enough are
    left. One is kept that holds all of them: a step may have pictures of several shapes.

    Args:
        count_by_size: How many pictures of the data set have each size.
        augmentation: Where the scales come from; every typical scale weighs the same.
        num_canvases: Most canvases to choose; each may be used turned.

    Returns:
        Long and short edges in pixels, the largest area first. The first holds all pictures at all scales.
    """
    edges, weights = _candidates(count_by_size, augmentation)
    largest = edges.max(axis=0)
    merged = _merge(edges, weights, num_canvases=num_canvases)
    if not (merged == largest).all(axis=1).any():
        merged = np.concatenate([largest[None], _merge(edges, weights, num_canvases=num_canvases - 1)])
    found = {Scale(long, short) for long, short in merged.astype(int).tolist()}
    return tuple(sorted(found, key=lambda canvas: (-canvas.long * canvas.short, -canvas.long)))


def _merge(
    edges: NDArray[np.float64], weights: NDArray[np.float64], *, num_canvases: int
) -> NDArray[np.float64]:
    """Canvases ``(C, 2)`` and how many pictures need each, ``(C,)``, to at most ``num_canvases``."""
    edges, weights = edges.copy(), weights.copy()
    areas = edges.prod(axis=1)
    union_areas = np.maximum(edges[:, None], edges[None]).prod(axis=2)
    while len(edges) > num_canvases:
        cost = weights * areas
        added = union_areas * (weights[:, None] + weights) - (cost[:, None] + cost)
        added[np.tril_indices(len(edges))] = np.inf
        first, second = np.unravel_index(added.argmin(), added.shape)
        edges[first] = np.maximum(edges[first], edges[second])
        weights[first] += weights[second]
        edges, weights = np.delete(edges, second, axis=0), np.delete(weights, second)
        areas = edges.prod(axis=1)
        union_areas = np.maximum(edges[:, None], edges[None]).prod(axis=2)
    return edges


def _candidates(
    count_by_size: Mapping[Size, int], augmentation: Augmentation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Long and short edges ``(C, 2)`` of the smallest canvases of all pictures, and how many need each."""
    scales = augmentation.typical_scales()
    needed: Counter[tuple[int, int]] = Counter()
    for size, count in count_by_size.items():
        for scale in scales:
            placed = augmentation.placed_size(size, scale)
            needed[max(placed.height, placed.width), min(placed.height, placed.width)] += count
    rounding = CANVAS_DIVISOR_PIXELS
    while True:
        rounded: Counter[tuple[int, int]] = Counter()
        for (long, short), count in needed.items():
            rounded[rounded_up(long, rounding), rounded_up(short, rounding)] += count
        if len(rounded) <= _MOST_CANDIDATES or rounding == _COARSEST_ROUNDING_PIXELS:
            break
        rounding *= 2
    return np.array(list(rounded), dtype=np.float64), np.array(list(rounded.values()), dtype=np.float64)
