import threading
import time
from collections.abc import Iterator

import pytest
import torch

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.unlabelled import (
    UnlabelledPicture,
    UnlabelledView,
    Viewing,
    batch_of,
    group_by_canvas,
    read_ahead,
)
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import OutOfMemoryError

PADDING = SmallestCanvas()
AT_128 = ResizeAugmentation(scales=(Scale(128, 96),), mode="choice", flip_probability=0)


def make_view(number: int, height: int, width: int) -> UnlabelledView:
    pixels = torch.full((3, height, width), number, dtype=torch.uint8)
    (make,) = Viewing((AT_128,)).views_of(UnlabelledPicture(pixels, number, f"{number}.jpg"))
    return make()


def test_a_picture_is_as_large_as_the_scale_allows_and_keeps_its_own_pixels() -> None:
    view = make_view(7, 30, 60)
    assert view.sample.pixels.shape == (3, 64, 128)
    assert view.picture.size == Size(30, 60)
    record = view.sample.record
    assert (record.image_id, record.file_name, record.original) == (7, "7.jpg", Size(30, 60))


def test_a_batch_has_the_pictures_in_order_on_the_canvas_of_each() -> None:
    batch = batch_of([make_view(3, 30, 60), make_view(1, 32, 64)], PADDING)
    assert batch.images.canvas == Size(64, 128)
    assert batch.images.pixels[:, 0, 0, 0].tolist() == [3, 1]
    assert not batch.targets.is_valid.any()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_groups_hold_each_picture_once_and_one_canvas_each(batch_size: int) -> None:
    shapes = [(60, 80), (80, 60), (40, 80), (60, 80), (60, 60)]
    pictures = [make_view(number, *shapes[number % 5]) for number in range(23)]
    groups = list(group_by_canvas(pictures, PADDING, batch_size=batch_size))
    assert sorted(p.sample.record.index for group in groups for p in group) == list(range(23))
    assert all(len(group) <= batch_size for group in groups)
    for group in groups:
        canvases = {PADDING.canvas_for([p.sample.record.placement.placed]) for p in group}
        assert len(canvases) == 1


def test_few_pictures_wait_even_if_each_needs_another_canvas() -> None:
    taken = 0

    def one_by_one() -> Iterator[UnlabelledView]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield make_view(number, 32 * (1 + number % 20), 640)

    given = 0
    for group in group_by_canvas(one_by_one(), PADDING, batch_size=2):
        given += len(group)
        assert taken - given < 4 * 2
    assert given == 40


def test_what_is_read_ahead_comes_in_order_whoever_is_first() -> None:
    def read(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    read_numbers = read_ahead(read, range(12), num_threads=3, num_ahead=4)
    assert list(read_numbers) == [number * number for number in range(12)]


def test_no_more_is_read_than_may_wait_and_nothing_after_the_end() -> None:
    lock, begun = threading.Lock(), [0]

    def read(number: int) -> int:
        with lock:
            begun[0] += 1
        return number

    results = read_ahead(read, range(1000), num_threads=2, num_ahead=3)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert begun[0] <= 5 + 3
    results.close()
    before = begun[0]
    time.sleep(0.05)
    assert begun[0] == before


def test_a_thread_that_the_system_does_not_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OutOfMemoryError, match=r"or take fewer threads: --set data\.num_workers=1"):
        list(read_ahead(str, [1, 2], num_threads=2, num_ahead=2))
