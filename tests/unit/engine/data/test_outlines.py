import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from hrdet_cli.engine.data.outlines import outlines_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools


def bitmap_of(text: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def encloses_something(bitmap: NDArray[np.bool_]) -> bool:
    """Whether pixels are unset that no walk, also over corners, reaches from outside."""
    reached = np.zeros(np.array(bitmap.shape) + 2, dtype=np.bool_)
    free = ~np.pad(bitmap, 1)
    reached[0, 0] = True
    while True:
        grown = reached.copy()
        for shift in [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]:
            moved = np.roll(reached, shift, axis=(0, 1))
            grown |= moved
        grown &= free
        if (grown == reached).all():
            return bool((free & ~reached).any())
        reached = grown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#", [[0, 0, 1, 0, 1, 1, 0, 1]]),
        ("##. ###", [[0, 0, 2, 0, 2, 1, 3, 1, 3, 2, 0, 2]]),
        ("#.# ###", [[0, 0, 1, 0, 1, 1, 2, 1, 2, 0, 3, 0, 3, 2, 0, 2]]),
        ("#. .#", [[0, 0, 1, 0, 1, 1, 0, 1], [1, 1, 2, 1, 2, 2, 1, 2]]),
        ("... ...", []),
        ("### #.# ###", None),
    ],
)
def test_an_outline_goes_along_the_edges_of_the_pixels(text: str, expected: list[list[int]] | None) -> None:
    assert outlines_of(bitmap_of(text)) == expected


@given(
    seed=st.integers(0, 10**6),
    density=st.floats(0.05, 0.95),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_outlines_enclose_just_the_pixels_that_are_set(
    seed: int, density: float, height: int, width: int
) -> None:
    bitmap = np.random.default_rng(seed).random((height, width)) < density
    outlines = outlines_of(bitmap)
    assert (outlines is None) == encloses_something(bitmap)
    if outlines:
        coded = pycocotools_mask.frPyObjects(
            [list(map(float, corners)) for corners in outlines], height, width
        )
        assert np.array_equal(pycocotools_mask.decode(pycocotools_mask.merge(coded)), bitmap)
