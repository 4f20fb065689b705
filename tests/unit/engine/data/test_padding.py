import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet_cli.engine.data.padding import FixedCanvas, SmallestCanvas, StepCanvases
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError

_SIZES = st.lists(st.builds(Size, st.integers(1, 2000), st.integers(1, 2000)), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("sizes", "canvas"),
    [
        ([Size(1000, 1600), Size(600, 800)], Size(1024, 1600)),
        ([Size(1600, 1000)], Size(1600, 1024)),
        ([Size(600, 600)], Size(1024, 1600)),
        ([Size(600, 600), Size(900, 800)], Size(1600, 1024)),
        ([Size(1024, 1600)], Size(1024, 1600)),
    ],
)
def test_a_fixed_canvas_turns_with_the_batch_and_squares_fit_both(sizes: list[Size], canvas: Size) -> None:
    assert FixedCanvas(long=1600, short=1024).canvas_for(sizes) == canvas


def test_a_batch_of_two_orientations_has_no_fixed_canvas() -> None:
    with pytest.raises(DataError, match="mixes portrait and landscape pictures: 30x20, 20x30"):
        FixedCanvas(long=64, short=32).canvas_for([Size(20, 30), Size(30, 20)])


def test_a_square_canvas_holds_both_orientations() -> None:
    assert FixedCanvas(long=64, short=64).canvas_for([Size(20, 30), Size(30, 20)]) == Size(64, 64)


@pytest.mark.parametrize("size", [Size(1025, 1300), Size(1000, 1601), Size(1601, 1000)])
def test_a_picture_larger_than_its_canvas_is_refused_and_never_cropped(size: Size) -> None:
    with pytest.raises(
        DataError, match=rf"a picture of {size} does not fit the canvas of .* \(1600, 1024\) or lower"
    ):
        FixedCanvas(long=1600, short=1024).canvas_for([size])


@pytest.mark.parametrize(
    ("sizes", "canvas"),
    [
        ([Size(600, 800), Size(600, 899)], Size(608, 928)),
        ([Size(600, 800), Size(609, 700)], Size(800, 1216)),
        ([Size(800, 600)], Size(928, 608)),
        ([Size(600, 600)], Size(608, 928)),
        ([Size(1000, 1333)], Size(1024, 1600)),
    ],
)
def test_a_step_takes_the_smallest_canvas_that_holds_all_its_pictures(
    sizes: list[Size], canvas: Size
) -> None:
    canvases = (Scale(1600, 1024), Scale(1216, 800), Scale(928, 608))
    assert StepCanvases(canvases=canvases).canvas_for(sizes) == canvas


def test_pictures_that_no_canvas_holds_are_refused() -> None:
    policy = StepCanvases(canvases=(Scale(928, 608), Scale(700, 700)))
    with pytest.raises(DataError, match=r"need 900x650 fit none of the canvases \(928, 608\), \(700, 700\)"):
        policy.canvas_for([Size(600, 900), Size(650, 700)])


@given(sizes=_SIZES, divisor=st.integers(1, 128))
def test_the_smallest_canvas_holds_all_and_wastes_less_than_the_divisor(
    sizes: list[Size], divisor: int
) -> None:
    canvas = SmallestCanvas(divisor=divisor).canvas_for(sizes)
    assert all(canvas.contains(size) for size in sizes)
    assert canvas.height % divisor == canvas.width % divisor == 0
    assert canvas.height - max(64, *(size.height for size in sizes)) < divisor
    assert canvas.width - max(64, *(size.width for size in sizes)) < divisor
