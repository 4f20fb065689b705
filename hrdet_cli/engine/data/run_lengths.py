"""COCO's run lengths: a bitmap as the lengths of its runs, and these packed into a text.

Runs go down the columns of the picture, the first one outside of the object, the next inside, and so on.

Packed, a length is written as what it is more than the one before the last, which is mostly little: five bits
a letter, the lowest first, each with a bit that says whether more follow. The first three lengths are written
as they are. The format is that of ``rleToString`` in https://github.com/cocodataset/cocoapi.
"""

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import Size

_ZERO = ord("0")
_BITS, _MORE = 5, 32


def unpack_run_lengths(packed: bytes) -> NDArray[np.int64]:
    """The lengths that a text stands for.

    Args:
        packed: What COCO's JSON has under ``counts``, whole.
    """
    letters = np.frombuffer(packed, dtype=np.uint8).astype(np.int64) - _ZERO
    ends = np.flatnonzero((letters & _MORE) == 0)
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    places = np.arange(len(letters)) - np.repeat(starts, ends - starts + 1)
    parts = (letters & (_MORE - 1)) << (_BITS * places)
    is_negative = (letters[ends] & (_MORE >> 1)) != 0
    lengths: NDArray[np.int64] = np.add.reduceat(parts, starts) if len(starts) else parts
    lengths -= is_negative.astype(np.int64) << (_BITS * (ends - starts + 1))
    for chain in (lengths[1::2], lengths[2::2]):
        np.cumsum(chain, out=chain)
    return lengths


def bitmap_of_runs(lengths: NDArray[np.int64], size: Size) -> NDArray[np.bool_]:
    """``(height, width)``, True inside.

    Args:
        lengths: Of runs; together they are as many pixels as the picture has.
        size: Of the picture.
    """
    is_inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(is_inside, lengths).reshape(size.width, size.height).T
