"""Pictures that are drawn anew from those that there are: the bootstrap (Efron, 1979)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.int32]
"""``(B, M)``: how often each of B resamples has each of M pictures."""

NUM_AT_ONCE = 50
"""Resamples that are computed together: arrays of more do not fit into a processor's cache."""


def draw_pictures(is_drawn: NDArray[np.bool_], *, num_resamples: int, seed: int) -> Iterator[Draws]:
    """Resamples of as many pictures as there are, with replacement, some resamples at a time.

    Args:
        is_drawn: ``(M,)`` which pictures there are; at least one.
        num_resamples: How many in all.
        seed: The same one draws the same.
    """
    random = np.random.default_rng(seed)
    pictures = np.flatnonzero(is_drawn)
    for start in range(0, num_resamples, NUM_AT_ONCE):
        num_rows = min(NUM_AT_ONCE, num_resamples - start)
        drawn = pictures[random.integers(len(pictures), size=(num_rows, len(pictures)))]
        places = drawn + len(is_drawn) * np.arange(num_rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=num_rows * len(is_drawn))
        yield counts.reshape(num_rows, -1).astype(np.int32)
