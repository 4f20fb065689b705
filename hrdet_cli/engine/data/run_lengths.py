"""COCO's run lengths: a bitmap as the lengths of its runs, and these packed into a text.

Runs go down the columns of the picture, the first one outside of the object, the next inside, and so on.

Packed, a length is written as what it is more than the one before the last, which is mostly little: five bits
a letter, the lowest first, each with a bit that says whether more follow. The first three lengths are written
as they are. The format is that of ``rleToString`` in https://github.com/cocodataset/cocoapi.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import Size

_ZERO = ord("0")
_BITS, _MORE = 5, 32
_MOST_LETTERS = 7  # of a length: 35 bits, more than any picture has pixels


def unpack_run_lengths(packed: bytes) -> NDArray[np.int64]:
    """The lengths that a text stands for.

    Args:
        packed: What COCO's JSON has under ``counts``, whole.

    Raises:
        ValueError: It is no such text; `why_not_packed` says why.
    """
    return unpack_all([packed])[0]


def unpack_all(texts: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lengths that many texts stand for, in a tenth of the time that one after the other takes.

    Returns:
        lengths: ``(R,)`` of all texts, one after the other.
        offsets: ``(T + 1,)``; text t has ``lengths[offsets[t]:offsets[t + 1]]``.

    Raises:
        ValueError: One of them is none; `why_not_packed` says why.
    """
    letters = _letters_of(b"".join(texts))
    text_ends = np.cumsum([len(text) for text in texts])
    ends = np.flatnonzero(letters < _MORE)
    offsets = np.concatenate([[0], np.searchsorted(ends, text_ends)])
    lasts = letters[text_ends[np.diff(text_ends, prepend=0) > 0] - 1]
    num_letters = np.diff(ends, prepend=-1)
    if not ((letters >= 0) & (letters < 2 * _MORE)).all() or (lasts >= _MORE).any():
        raise ValueError("no packed run lengths")
    if num_letters.max(initial=0) > _MOST_LETTERS:
        raise ValueError("no packed run lengths")
    starts = ends + 1 - num_letters
    parts = (letters & (_MORE - 1)) << (_BITS * (np.arange(len(letters)) - np.repeat(starts, num_letters)))
    lengths: NDArray[np.int64] = np.add.reduceat(parts, starts) if len(starts) else parts
    is_negative = (letters[ends] & (_MORE >> 1)) != 0
    lengths -= is_negative.astype(np.int64) << (_BITS * num_letters)
    places = np.arange(len(lengths)) - np.repeat(offsets[:-1], np.diff(offsets))
    for first in (1, 2):  # lengths 1, 3, 5, ... are each written as a difference, and so are 2, 4, 6, ...
        chain = np.flatnonzero((places >= first) & (places % 2 == first % 2))
        sums = np.cumsum(lengths[chain])
        beginnings = np.flatnonzero(places[chain] == first)
        before = (sums - lengths[chain])[beginnings]
        lengths[chain] = sums - np.repeat(before, np.diff(beginnings, append=len(chain)))
    return lengths, offsets


def why_not_packed(text: str) -> str | None:
    """Why a text is no packed run lengths; None where it is."""
    packed = text.encode(errors="replace")
    letters = _letters_of(packed)
    is_letter = (letters >= 0) & (letters < 2 * _MORE)
    if not is_letter.all():
        return f"{chr(packed[is_letter.argmin()])!r} is no letter of theirs"
    ends = np.flatnonzero(letters < _MORE)
    if len(letters) and (not len(ends) or ends[-1] != len(letters) - 1):
        return "they end in the middle of a length: they were cut off"
    if len(ends) and np.diff(ends, prepend=-1).max() > _MOST_LETTERS:
        return "a length is of more pixels than any picture has"
    return None


def _letters_of(packed: bytes) -> NDArray[np.int64]:
    return np.frombuffer(packed, dtype=np.uint8).astype(np.int64) - _ZERO


def look_up_runs(
    lengths: NDArray[np.integer[Any]], *, columns: NDArray[np.int64], rows: NDArray[np.int64], height: int
) -> NDArray[np.uint8]:
    """Pixels of the bitmap that runs stand for, of which no other is made.

    Args:
        lengths: Of runs.
        columns: ``(C,)`` of the picture.
        rows: ``(R,)`` likewise.
        height: Of the picture.

    Returns:
        ``(R, C)``, 1 inside.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    places = columns * height + rows[:, None]
    inside: NDArray[np.uint8] = (np.searchsorted(ends, places, side="right") & 1).astype(np.uint8)
    return inside


def bitmap_of_runs(lengths: NDArray[np.int64], size: Size) -> NDArray[np.bool_]:
    """``(height, width)``, True inside.

    Args:
        lengths: Of runs; together they are as many pixels as the picture has.
        size: Of the picture.
    """
    is_inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(is_inside, lengths).reshape(size.width, size.height).T
