from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation, ResizeAugmentation, ResizeCropAugmentation
from hrdet_cli.engine.data.canvas_choice import choose_canvases
from hrdet_cli.engine.data.keyed_draws import first_uniforms
from hrdet_cli.engine.data.keys import generator_for, picture_keys
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, SmallestCanvas, StepCanvases
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.shape_classes import count_sizes
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.data.transforms import Placement, Resizing
from hrdet_cli.engine.data.turning import TurningAugmentation
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError
from tests.sized_annotations import annotations_of_sizes

_SCALES = (Scale(320, 240), Scale(288, 216), Scale(256, 192))
_RESIZE = ResizeAugmentation(scales=_SCALES, mode="choice", flip_probability=0.5)
_RANGE = ResizeAugmentation(scales=(Scale(256, 192), Scale(320, 240)), mode="range", flip_probability=0.5)
_CROP = ResizeCropAugmentation(scales=_SCALES, crop=Scale(200, 160), flip_probability=0.5)
_JITTER = ScaleJitterAugmentation(edge=256, flip_probability=0.5)
_SQUARE = FixedCanvas(long=256, short=256)
_FIXED = FixedCanvas(long=320, short=256)
_CANVASES = StepCanvases(canvases=(Scale(320, 256), Scale(288, 224), Scale(256, 160), Scale(256, 192)))
_WORLD_SIZE = 4


_SHAPES = [(480, 640), (427, 640), (640, 480), (360, 640), (500, 500), (640, 400)]
_ANNOTATIONS = annotations_of_sizes(
    [_SHAPES[number] for number in np.random.default_rng(0).integers(0, 6, 203)]
)


def _steps(
    padding: PaddingPolicy,
    augmentation: Augmentation = _RESIZE,
    batch_size: int = 8,
    seed: int = 1,
    rates: NDArray[np.float64] | None = None,
) -> TrainingSteps:
    return TrainingSteps(
        annotations=_ANNOTATIONS,
        indices=np.arange(len(_ANNOTATIONS)),
        augmentation=augmentation,
        padding=padding,
        batch_size=batch_size,
        seed=seed,
        rates=rates,
    )


@pytest.mark.parametrize("augmentation", [_RESIZE, _RANGE, _CROP])
def test_with_step_canvases_every_process_decides_the_same_scale_and_canvas(
    augmentation: Augmentation,
) -> None:
    steps = _steps(_CANVASES, augmentation)
    shares = [[*steps.requests(3, World(rank, _WORLD_SIZE))] for rank in range(_WORLD_SIZE)]
    whole = [*steps.requests(3, World())]
    for together, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert tuple(chain(*(part.indices for part in parts))) == together.indices
        assert {(part.scale, part.canvas) for part in parts} == {(together.scale, together.canvas)}


@pytest.mark.parametrize("padding", [_FIXED, _CANVASES, SmallestCanvas()])
@pytest.mark.parametrize("augmentation", [_RESIZE, _RANGE, _CROP])
def test_the_pictures_of_a_step_lie_inside_its_canvas(
    padding: PaddingPolicy, augmentation: Augmentation
) -> None:
    steps = _steps(padding, augmentation)
    layouts = list(steps.layouts(0, World(1, 2)))
    assert len(layouts) == steps.num_steps
    for layout in layouts:
        assert all(layout.canvas.contains(placement.placed) for placement in layout.placements)
        assert layout.num_useful_pixels == sum(
            placement.placed.height * placement.placed.width for placement in layout.placements
        )
        assert 0 < layout.num_useful_pixels <= layout.num_pixels == 4 * layout.canvas.num_pixels


def test_a_step_is_the_same_wherever_an_epoch_is_entered() -> None:
    steps = _steps(_CANVASES)
    assert [*steps.requests(2, World(), first_step=7)] == [*steps.requests(2, World())][7:]


def test_scales_of_steps_follow_seed_and_epoch() -> None:
    def scales(seed: int, epoch: int) -> list[Scale | None]:
        return [request.scale for request in _steps(_CANVASES, seed=seed).requests(epoch, World())]

    assert scales(1, 0) == scales(1, 0)
    assert scales(1, 0) != scales(1, 1)
    assert scales(1, 0) != scales(2, 0)


@pytest.mark.parametrize("augmentation", [_RESIZE, _CROP])
def test_steps_take_all_scales_in_turn_and_in_any_order(augmentation: Augmentation) -> None:
    scales = [request.scale for request in _steps(_CANVASES, augmentation).requests(0, World())]
    turns = [tuple(scales[start : start + 3]) for start in range(0, len(scales) - 2, 3)]
    assert len(turns) > 5
    assert all(set(turn) == set(_SCALES) for turn in turns)
    assert len(set(turns)) > 2


def test_steps_of_a_range_draw_one_by_one() -> None:
    scales = {request.scale for request in _steps(_CANVASES, _RANGE).requests(0, World())}
    assert len(scales) > 20


def test_pictures_draw_flips_for_themselves_even_where_the_step_draws_the_scale() -> None:
    flips = [
        placement.flipped
        for layout in _steps(_CANVASES).layouts(0, World())
        for placement in layout.placements
    ]
    assert 0.4 < sum(flips) / len(flips) < 0.6
    mixed = sum(
        len({placement.flipped for placement in layout.placements}) == 2
        for layout in _steps(_CANVASES).layouts(0, World())
    )
    assert mixed > 20


def test_steps_of_similar_shapes_waste_less_than_steps_of_any() -> None:
    def share(padding: PaddingPolicy) -> float:
        layouts = list(_steps(padding).layouts(0, World()))
        return sum(layout.num_useful_pixels for layout in layouts) / sum(
            layout.num_pixels for layout in layouts
        )

    assert share(_CANVASES) > share(_FIXED) + 0.15


def _drawn_canvases(num_canvases: int) -> StepCanvases:
    chosen = choose_canvases(
        count_sizes(_ANNOTATIONS, np.arange(len(_ANNOTATIONS))), _JITTER, num_canvases=num_canvases
    )
    return StepCanvases(canvases=chosen, shares_scale=False)


def test_pictures_that_share_a_canvas_by_what_they_draw_are_placed_as_on_one_square() -> None:
    def placements(padding: PaddingPolicy) -> dict[int, Placement]:
        layouts = list(_steps(padding, _JITTER).layouts(4, World()))
        assert len(layouts) == _steps(_SQUARE, _JITTER).num_steps
        return {
            showing.index: placement
            for layout in layouts
            for showing, placement in zip(layout.request.showings, layout.placements, strict=True)
        }

    on_square, on_drawn = placements(_SQUARE), placements(_drawn_canvases(6))
    assert len(on_square) == len(_ANNOTATIONS)
    assert on_square == on_drawn


def test_canvases_by_what_pictures_draw_leave_little_padding() -> None:
    def share(padding: PaddingPolicy) -> float:
        layouts = [*_steps(padding, _JITTER, batch_size=2).layouts(0, World())]
        return sum(layout.num_useful_pixels for layout in layouts) / sum(
            layout.num_pixels for layout in layouts
        )

    # For 4:3 pictures a factor f fills 3/4 f^2 of the square up to 1, 3/4 f up to 4/3, and then all of it:
    # (0.2498 + 0.2917 + 0.6667) / 1.9 = 0.636 on average; the shapes here are narrower.
    assert 0.5 < share(_SQUARE) < 0.64
    assert share(_drawn_canvases(6)) > 0.85


def test_sizes_that_are_drawn_for_an_epoch_are_those_that_pictures_get() -> None:
    for resizing in (Resizing(), Resizing(rounding="down")):
        for edge, factors in ((256, (0.1, 2.0)), (97, (0.01, 1.3))):
            jitter = ScaleJitterAugmentation(
                edge=edge, factors=factors, flip_probability=0.5, resizing=resizing
            )
            keys = picture_keys(
                seed=1, epoch=3, indices=np.arange(len(_ANNOTATIONS)), occurrences=np.arange(203) % 3
            )
            drawn = jitter.drawn_sizes(_ANNOTATIONS.sizes, first_uniforms(keys))
            for index, key in enumerate(keys.tolist()):
                placement = jitter.place(
                    _ANNOTATIONS.size_of(index), np.zeros((0, 4), dtype=np.float32), generator_for(key)
                )
                assert Size(*drawn[index].tolist()) == placement.placed


def test_processes_lie_on_the_same_canvas_wherever_an_epoch_is_entered() -> None:
    steps = _steps(_drawn_canvases(6), _JITTER)
    shares = [[*steps.requests(3, World(rank, _WORLD_SIZE))] for rank in range(_WORLD_SIZE)]
    whole = [*steps.requests(3, World())]
    for together, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert tuple(chain(*(part.showings for part in parts))) == together.showings
        assert {(part.scale, part.canvas) for part in parts} == {(None, together.canvas)}
    assert len({request.canvas for request in whole}) > 4
    assert [*steps.requests(3, World(), first_step=7)] == whole[7:]


def test_canvases_by_what_pictures_draw_come_at_even_distances() -> None:
    steps = _steps(_drawn_canvases(3), _JITTER, batch_size=1)
    canvases = [request.canvas for request in steps.requests(0, World())]
    is_largest = np.array([canvas == steps.largest_canvas for canvas in canvases])
    expected = is_largest.mean() * np.arange(1, len(canvases) + 1)
    assert np.abs(np.cumsum(is_largest) - expected).max() <= 1.5


@pytest.mark.parametrize(
    "padding",
    [
        _SQUARE,
        StepCanvases(canvases=(Scale(256, 256), Scale(128, 128)), shares_scale=False),
        SmallestCanvas(),
    ],
    ids=["square", "squares", "batch"],
)
def test_turned_pictures_lie_inside_canvases_no_larger_than_the_largest(padding: PaddingPolicy) -> None:
    turning = TurningAugmentation(upright=_JITTER, flip_probability=0.5, turn_probability=0.7)
    steps = _steps(padding, turning, batch_size=4)
    layouts = [layout for epoch in range(3) for layout in steps.layouts(epoch, World())]
    assert all(
        layout.canvas.contains(placement.placed) for layout in layouts for placement in layout.placements
    )
    assert max(layout.canvas.num_pixels for layout in layouts) == steps.largest_canvas.num_pixels
    turns = Counter((p.flipped, p.quarter_turns) for layout in layouts for p in layout.placements)
    assert len(turns) == 8
    # Not turned (0.3) and not upside down, or turned by half (0.7 / 3) and upside down; then flipped or not.
    expected = (0.3 * 0.5 + 0.7 / 3 * 0.5) / 2
    for turn in ((False, 0), (True, 0), (True, 2)):
        assert turns[turn] / turns.total() == pytest.approx(expected, abs=0.05)
    upright = {id(p): p for layout in _steps(_SQUARE, _JITTER).layouts(0, World()) for p in layout.placements}
    shared = {(p.resized, p.crop) for p in upright.values()}
    assert {(p.resized, p.crop) for layout in layouts for p in layout.placements} >= shared


def test_portrait_steps_have_portrait_canvases() -> None:
    steps = TrainingSteps(
        annotations=annotations_of_sizes([(640, 480)] * 9),
        indices=np.arange(9),
        augmentation=_RESIZE,
        padding=StepCanvases(canvases=(Scale(320, 256),)),
        batch_size=3,
        seed=0,
    )
    assert {layout.canvas for layout in steps.layouts(0, World())} == set(steps.canvases) == {Size(320, 256)}


def test_canvases_are_those_that_steps_lie_on() -> None:
    for padding in (_FIXED, _CANVASES):
        steps = _steps(padding)
        seen = {layout.canvas for epoch in range(3) for layout in steps.layouts(epoch, World())}
        assert seen <= set(steps.canvases)
        assert steps.canvases[0].num_pixels == 320 * 256
    assert _steps(_FIXED).canvases == (Size(256, 320), Size(320, 256))
    assert _steps(SmallestCanvas()).canvases == ()


def test_a_picture_that_no_canvas_holds_is_named_before_training() -> None:
    with pytest.raises(DataError, match=r"pictures of 640x360: .* fit none of the canvases \(256, 224\)"):
        _steps(StepCanvases(canvases=(Scale(256, 224),)))


def test_sizes_are_counted() -> None:
    annotations = annotations_of_sizes([(2, 3), (3, 2), (2, 3), (9, 9)])
    assert count_sizes(annotations, np.array([0, 1, 2])) == {Size(2, 3): 2, Size(3, 2): 1}


@pytest.mark.parametrize(
    "padding", [_FIXED, _CANVASES, SmallestCanvas(divisor=32)], ids=["fixed", "canvases", "batch"]
)
@pytest.mark.parametrize("augmentation", [_RESIZE, _RANGE, _CROP])
def test_no_step_lies_on_a_canvas_larger_than_the_largest(
    padding: PaddingPolicy, augmentation: Augmentation
) -> None:
    steps = _steps(padding, augmentation)
    canvases = {layout.canvas for epoch in range(5) for layout in steps.layouts(epoch, World())}
    assert max(canvas.num_pixels for canvas in canvases) == steps.largest_canvas.num_pixels


def test_the_largest_canvas_of_batches_holds_the_height_of_one_picture_and_the_width_of_another() -> None:
    annotations = annotations_of_sizes([(100, 400), (300, 310), (400, 100)])
    steps = TrainingSteps(
        annotations=annotations,
        indices=np.arange(3),
        augmentation=ResizeAugmentation(scales=(Scale(400, 400),), mode="choice", flip_probability=0),
        padding=SmallestCanvas(divisor=32),
        batch_size=2,
        seed=0,
    )
    # 310x300 becomes 400x387; with 400x100 a batch needs 400x387, and 416 x 416 are the multiples of 32.
    assert steps.largest_canvas == Size(416, 416)


def test_the_picture_with_most_boxes_is_one_of_those_that_take_part() -> None:
    annotations = replace(
        annotations_of_sizes([(60, 60)] * 3),
        offsets=np.array([0, 1, 4, 9]),
        boxes=np.tile(np.array([[10, 10, 50, 40]], dtype=np.float32), (9, 1)),
        labels=np.zeros(9, dtype=np.int64),
        is_crowd=np.array([False] * 8 + [True]),
    )
    chosen = {}
    for indices in ([0, 1, 2], [0, 1]):
        steps = TrainingSteps(
            annotations=annotations,
            indices=np.array(indices),
            augmentation=_RESIZE,
            padding=_FIXED,
            batch_size=1,
            seed=0,
        )
        chosen[len(indices)] = steps.most_boxes
    assert chosen == {3: 4, 2: 3}


_RATES = np.random.default_rng(1).choice([0.4, 1.0, 2.5, 6.0], len(_ANNOTATIONS))


@pytest.mark.parametrize("padding", [_FIXED, _CANVASES, SmallestCanvas()])
@pytest.mark.parametrize("augmentation", [_RESIZE, _RANGE, _CROP])
def test_pictures_shown_at_rates_fill_as_many_steps_in_every_epoch_over_any_processes(
    padding: PaddingPolicy, augmentation: Augmentation
) -> None:
    steps = _steps(padding, augmentation, rates=_RATES)
    for epoch in range(3):
        whole = [*steps.layouts(epoch, World())]
        shares = [[*steps.layouts(epoch, World(rank, 2))] for rank in range(2)]
        assert len(whole) == steps.num_steps > 203 / 8
        for together, *parts in zip(whole, *shares, strict=True):
            assert sum((part.request.showings for part in parts), ()) == together.request.showings
            assert sum((part.placements for part in parts), ()) == together.placements
            sizes = _ANNOTATIONS.sizes[list(together.request.indices)]
            assert len(set((sizes[:, 0] > sizes[:, 1]).tolist())) == 1
        shown = [showing for layout in whole for showing in layout.request.showings]
        assert len(set(shown)) == len(shown)
    requests = [*steps.requests(2, World(1, 2))]
    assert [*steps.requests(2, World(1, 2), first_step=11)] == requests[11:]


def test_a_picture_is_placed_anew_each_time_that_an_epoch_shows_it_and_first_as_if_shown_once() -> None:
    placements: dict[int, dict[int, Placement]] = {}
    for layout in _steps(_FIXED, _CROP, rates=_RATES).layouts(0, World()):
        for showing, placement in zip(layout.request.showings, layout.placements, strict=True):
            placements.setdefault(showing.index, {})[showing.occurrence] = placement
    often = [list(by_occurrence.values()) for by_occurrence in placements.values() if len(by_occurrence) > 5]
    assert len(often) > 20
    assert all(len(set(drawn)) > 1 for drawn in often)
    once = {
        index: placement
        for layout in _steps(_FIXED, _CROP).layouts(0, World())
        for index, placement in zip(layout.request.indices, layout.placements, strict=True)
    }
    assert all(by_occurrence[0] == once[index] for index, by_occurrence in placements.items())
