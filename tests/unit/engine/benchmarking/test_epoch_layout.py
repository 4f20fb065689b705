from collections.abc import Mapping

import numpy as np
import pytest

from hrdet_cli.engine.benchmarking.epoch_layout import (
    EpochLayout,
    canvas_shares,
    epoch_seconds,
    lay_out_epoch,
    mean_seconds,
    seconds_by_canvas,
)
from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, SmallestCanvas, StepCanvases
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Scale, Size
from tests.sized_annotations import annotations_of_sizes

SCALES = (Scale(320, 240), Scale(256, 192))
SHAPES = [(480, 640), (427, 640), (640, 480), (360, 640)]
SMALL, MIDDLE, LARGE = Size(64, 64), Size(64, 128), Size(128, 128)


def steps_of(padding: PaddingPolicy, *, batch_size: int) -> TrainingSteps:
    count = 37
    annotations = annotations_of_sizes([SHAPES[index % len(SHAPES)] for index in range(count)])
    return TrainingSteps(
        annotations=annotations,
        indices=np.arange(count),
        augmentation=ResizeAugmentation(scales=SCALES, mode="choice", flip_probability=0.5),
        padding=padding,
        batch_size=batch_size,
        seed=0,
    )


def layout_with(*steps: tuple[Size, ...], num_pictures: int = 2) -> EpochLayout:
    return EpochLayout(
        steps, num_useful_pixels=1, num_pictures=num_pictures, requests_by_canvas={}, num_boxes=()
    )


@pytest.mark.parametrize(
    "padding",
    [
        FixedCanvas(long=320, short=256),
        StepCanvases(canvases=(Scale(320, 256), Scale(256, 160), Scale(256, 192))),
        SmallestCanvas(),
    ],
    ids=["fixed", "canvases", "batch"],
)
def test_one_look_at_an_epoch_tells_what_every_process_gets(padding: PaddingPolicy) -> None:
    steps = steps_of(padding, batch_size=6)
    by_rank = [list(steps.layouts(0, World(rank, 3))) for rank in range(3)]
    layout = lay_out_epoch(steps, num_processes=3)
    assert layout.canvases == tuple(zip(*([one.canvas for one in rank] for rank in by_rank), strict=True))
    useful = sum(one.num_useful_pixels for rank in by_rank for one in rank)
    everything = sum(one.num_pixels for rank in by_rank for one in rank)
    assert layout.useful_pixel_share == pytest.approx(useful / everything)
    requests = {one.canvas: set[object]() for rank in by_rank for one in rank}
    for rank in by_rank:
        for one in rank:
            requests[one.canvas].add(one.request)
    assert {canvas: set(kept) for canvas, kept in layout.requests_by_canvas.items()} == requests


def test_imbalance_is_the_mean_of_the_largest_over_the_mean_batch() -> None:
    # Steps of 1 and 4 units of 64x64 pixels: 4 / 2.5 = 1.6; of 2 and 2: 1.
    assert layout_with((SMALL, LARGE), (MIDDLE, MIDDLE)).imbalance == pytest.approx((1.6 + 1) / 2)
    assert layout_with((LARGE,), (SMALL,)).imbalance == 1


def test_few_canvases_are_all_typical_the_more_frequent_of_turned_ones() -> None:
    layout = layout_with((Size(128, 64),), (MIDDLE,), (Size(128, 64),), (LARGE,), (SMALL,))
    assert layout.typical_canvases(3) == (SMALL, Size(128, 64), LARGE)


def test_of_many_canvases_the_ends_and_those_that_share_the_batches_evenly_are_typical() -> None:
    sizes = [Size(64, 64 * number) for number in range(1, 11)]
    # 92 batches: one on each but the fifth canvas, which has 83.
    batches = [(size,) for size in sizes for _ in range(83 if size == sizes[4] else 1)]
    assert layout_with(*batches).typical_canvases(4) == (sizes[0], sizes[4], sizes[9])
    evenly = [(size,) for size in sizes]
    assert layout_with(*evenly).typical_canvases(4) == (sizes[0], sizes[3], sizes[6], sizes[9])


MEASURED: Mapping[Size, float] = {SMALL: 1.0, LARGE: 4.0}


def test_seconds_between_measured_canvases_follow_their_pixels() -> None:
    layout = layout_with((SMALL, LARGE), (MIDDLE, MIDDLE))
    # MIDDLE has 2 units of 64x64 pixels, between 1 and 4: a third of the way from 1 to 4 seconds.
    assert seconds_by_canvas(layout, MEASURED) == pytest.approx({SMALL: 1, MIDDLE: 2, LARGE: 4})
    assert mean_seconds(layout, MEASURED) == pytest.approx((1 + 4 + 2 + 2) / 4)


def test_a_step_takes_as_long_as_its_slowest_process() -> None:
    layout = layout_with((SMALL, LARGE), (MIDDLE, MIDDLE))
    assert epoch_seconds(layout, MEASURED) == pytest.approx(4 + 2)


def test_shares_of_canvases_are_told_from_the_largest_on() -> None:
    layout = layout_with((SMALL, LARGE), (SMALL, SMALL))
    assert canvas_shares(layout) == [(LARGE, 0.25), (SMALL, 0.75)]
