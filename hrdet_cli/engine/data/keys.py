"""Keys that every random choice of the data path is a function of.

No generator has a state that outlives one picture: a choice depends on (seed, epoch, picture) and on nothing
else, so neither the number of workers, nor the number of processes, nor a resumed run can change it.
"""

import numpy as np
from numpy.typing import NDArray

_MASK_64_BITS = (1 << 64) - 1
_PICTURE, _ORDER, _TURN, _SPARE, _SHOWINGS, _PIXELS, _PASTE = 1, 2, 3, 4, 5, 6, 7


def picture_key(*, seed: int, epoch: int, index: int, occurrence: int = 0) -> int:
    """Key of all random choices made for one showing of a picture in one epoch.

    Args:
        seed: The run's seed.
        epoch: Counted from 0.
        index: The picture's position in the annotation file.
        occurrence: How often the epoch has shown it before.

    Returns:
        A well mixed integer in ``[0, 2**63)``; it fits an int64 tensor.
    """
    return _mix(_PICTURE, seed, epoch, index, *_again(occurrence))


def picture_keys(
    *, seed: int, epoch: int, indices: NDArray[np.int64], occurrences: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`picture_key` of many showings, ``(N,)`` as both arrays."""
    state = np.full(len(indices), _fold(_PICTURE, seed, epoch), dtype=np.uint64)
    state = _fold_words(state, indices.astype(np.uint64))
    state = np.where(occurrences > 0, _fold_words(state, occurrences.astype(np.uint64)), state)
    return (state >> np.uint64(1)).astype(np.int64)


def order_key(*, seed: int, epoch: int) -> int:
    """Key of the order in which one epoch visits the pictures; in ``[0, 2**63)``."""
    return _mix(_ORDER, seed, epoch)


def turn_key(*, seed: int, epoch: int, turn: int) -> int:
    """Key of the order in which some successive steps take all scales in turn; in ``[0, 2**63)``.

    Args:
        seed: The run's seed.
        epoch: Counted from 0.
        turn: Counted from 0 in the epoch.
    """
    return _mix(_TURN, seed, epoch, turn)


def spare_key(*, seed: int, epoch: int, index: int, occurrence: int = 0) -> int:
    """Key of what is drawn in the place of a picture that cannot be read; as for ``picture_key``."""
    return _mix(_SPARE, seed, epoch, index, *_again(occurrence))


def pixels_key(key: int) -> int:
    """Key of what is done to the pixels of a picture whose own key is given; in ``[0, 2**63)``."""
    return _mix(_PIXELS, key)


def paste_key(key: int) -> int:
    """Key of what is pasted onto a picture whose own key is given; in ``[0, 2**63)``."""
    return _mix(_PASTE, key)


def showings_key(*, seed: int, epoch: int) -> int:
    """Key of how often one epoch shows each picture; in ``[0, 2**63)``."""
    return _mix(_SHOWINGS, seed, epoch)


def generator_for(key: int) -> np.random.Generator:
    """A fresh generator whose whole sequence is a function of the key.

    Philox is a counter-based generator made to be keyed: neighbouring keys give unrelated sequences.
    """
    return np.random.Generator(np.random.Philox(key=key))


def _again(occurrence: int) -> tuple[int, ...]:
    """Nothing for a first showing, whose key is that of a picture that is shown once."""
    return (occurrence,) if occurrence else ()


def _mix(*parts: int) -> int:
    """Fold integers into 63 bits."""
    return _fold(*parts) >> 1


def _fold(*parts: int) -> int:
    """Fold integers into 64 bits with SplitMix64's finaliser (Steele et al., OOPSLA 2014, figure 17)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK_64_BITS
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64_BITS
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK_64_BITS
        state ^= state >> 31
    return state


def _fold_words(state: NDArray[np.uint64], part: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One more part for each of many states."""
    state = state + part + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
