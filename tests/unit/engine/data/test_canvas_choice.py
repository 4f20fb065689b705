from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet_cli.engine.data.augmentations import Augmentation, ResizeAugmentation, ResizeCropAugmentation
from hrdet_cli.engine.data.canvas_choice import choose_canvases
from hrdet_cli.engine.data.padding import StepCanvases
from hrdet_cli.engine.geometry import Scale, Size

_SCALES = (Scale(1600, 1000), Scale(1000, 600), Scale(1333, 800))
_THREE = ResizeAugmentation(scales=_SCALES, mode="choice", flip_probability=0.5)
_RANGE = ResizeAugmentation(scales=(Scale(1600, 600), Scale(1600, 1000)), mode="range", flip_probability=0.5)
_CROP = ResizeCropAugmentation(
    scales=(Scale(1400, 600), Scale(1400, 1000)), crop=Scale(1200, 800), flip_probability=0.5
)
# COCO train2017's most frequent sizes, in thousands, rounded by hand
_COCO = {
    Size(480, 640): 24,
    Size(427, 640): 16,
    Size(426, 640): 8,
    Size(640, 480): 10,
    Size(640, 427): 5,
    Size(375, 500): 6,
    Size(333, 500): 3,
    Size(500, 375): 2,
    Size(360, 640): 2,
    Size(640, 640): 2,
    Size(612, 612): 2,
}


def _useful_share(canvases: tuple[Scale, ...], counts: dict[Size, int], augmentation: Augmentation) -> float:
    """By definition: each picture at each scale on the smallest canvas that holds it."""
    policy = StepCanvases(canvases=canvases)
    useful = total = 0
    for size, count in counts.items():
        for scale in augmentation.typical_scales():
            placed = augmentation.placed_size(size, scale)
            useful += count * placed.num_pixels
            total += count * policy.canvas_for([placed]).num_pixels
    return useful / total


@settings(max_examples=30)
@given(
    counts=st.dictionaries(
        st.builds(Size, st.integers(20, 2000), st.integers(20, 2000)),
        st.integers(1, 99),
        min_size=1,
        max_size=25,
    ),
    num_canvases=st.integers(1, 8),
    augmentation=st.sampled_from([_THREE, _RANGE, _CROP]),
)
def test_few_enough_canvases_hold_every_picture_at_every_scale(
    counts: dict[Size, int], num_canvases: int, augmentation: Augmentation
) -> None:
    canvases = choose_canvases(counts, augmentation, num_canvases=num_canvases)
    assert 1 <= len(canvases) <= num_canvases
    assert all(edge % 32 == 0 and edge >= 64 for canvas in canvases for edge in (canvas.long, canvas.short))
    assert 0 < _useful_share(canvases, counts, augmentation) <= 1  # raises where a picture finds no canvas
    policy, generator = StepCanvases(canvases=canvases), np.random.default_rng(0)
    for portrait in (False, True):  # a step may have pictures of several shapes
        together = [size for size in counts if size.is_portrait == portrait]
        for scale in (
            *augmentation.typical_scales(),
            *(augmentation.draw_scale(generator) for _ in range(9)),
        ):
            placed = [augmentation.placed_size(size, scale) for size in together]
            assert not placed or all(policy.canvas_for(placed).contains(size) for size in placed)


def test_steps_of_several_shapes_find_a_canvas() -> None:
    counts = {Size(600, 1600): 5, Size(1000, 1000): 5}
    scale = Scale(1600, 1000)
    augmentation = ResizeAugmentation(scales=(scale,), mode="choice", flip_probability=0)
    canvases = choose_canvases(counts, augmentation, num_canvases=2)
    assert canvases[0] == Scale(1600, 1024)
    assert StepCanvases(canvases=canvases).canvas_for([*counts]) == Size(1024, 1600)


def test_more_canvases_waste_less_and_one_is_the_ancestors() -> None:
    chosen = [choose_canvases(_COCO, _THREE, num_canvases=count) for count in (1, 3, 6, 12)]
    assert chosen[0] == (Scale(1600, 1024),)
    one, three, six, twelve = (_useful_share(canvases, _COCO, _THREE) for canvases in chosen)
    assert one == pytest.approx(0.554, abs=0.02)  # 44.6 % of padding were measured on COCO itself
    assert one < three < six < twelve
    assert three > 0.817  # one canvas for each scale and orientation
    assert six > 0.913  # two


def test_the_choice_is_close_to_the_best_there_is() -> None:
    counts = {Size(480, 640): 5, Size(427, 640): 3, Size(360, 640): 1}
    edges = {
        (1600, 1024),
        (1344, 1024),
        (1504, 1024),
        (1600, 928),
        (1088, 800),
        (1216, 800),
        (1344, 768),
        (800, 608),
        (928, 608),
        (1024, 576),
        (1024, 608),
        (1344, 800),
    }
    best = 0.0
    for canvases in combinations([Scale(*edge) for edge in edges], 3):
        if any(canvas.long == 1600 and canvas.short == 1024 for canvas in canvases):
            best = max(best, _useful_share(canvases, counts, _THREE))
    chosen = choose_canvases(counts, _THREE, num_canvases=3)
    assert _useful_share(chosen, counts, _THREE) > 0.97 * best


def test_more_canvases_than_sizes_leave_no_padding_but_the_rounding() -> None:
    counts = {Size(480, 640): 1}
    augmentation = ResizeAugmentation(
        scales=(Scale(640, 480), Scale(320, 240)), mode="choice", flip_probability=0
    )
    assert choose_canvases(counts, augmentation, num_canvases=9) == (Scale(640, 480), Scale(320, 256))
