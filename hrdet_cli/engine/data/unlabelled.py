"""Pictures without ground truth: their views are placed for the detector, and grouped as they come.

Nothing is known about a stream of pictures before each is opened, so those that need the same canvas wait for
each other, in bounded number.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.batch import Batch, PictureRecord, Sample
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.keys import generator_for, picture_key
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.pixels import cut_pixels, move_pixels
from hrdet_cli.engine.data.shortages import shortage_of
from hrdet_cli.engine.data.tiles import Tiling
from hrdet_cli.engine.geometry import Size, Window

Item = TypeVar("Item")
Read = TypeVar("Read")

_NUM_BATCHES_WAITING = 4  # of pictures that have not found company of their canvas yet


@dataclass(frozen=True, slots=True, eq=False)
class UnlabelledPicture:
    """A picture as it was decoded.

    Attributes:
        pixels: ``(3, H, W)`` uint8 RGB.
        number: Tells it from the others.
        name: Its file.
        damage: What is damaged in it, where it was decoded all the same.
    """

    pixels: Tensor
    number: int
    name: str
    damage: str | None = None

    @property
    def size(self) -> Size:
        """As decoded."""
        return Size(self.pixels.shape[1], self.pixels.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class UnlabelledView:
    """One of the views of a picture that a detector gets.

    Attributes:
        picture: The picture.
        num_views: How many there are of it.
        sample: Resized, without targets; its record's index and image id are the picture's number.
    """

    picture: UnlabelledPicture
    num_views: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class Viewing:
    """How a picture is looked at.

    Attributes:
        ways: Those in which pictures are evaluated.
        tiling: How they are cut; None leaves them whole.
    """

    ways: tuple[Augmentation, ...]
    tiling: Tiling | None = None

    def views_of(self, picture: UnlabelledPicture) -> Iterator[Callable[[], UnlabelledView]]:
        """The views of a picture; each is made when it is called, in any thread."""
        windows: list[Window | None] = [None]
        if self.tiling is not None:
            tiles = self.tiling.windows_of(picture.size)
            windows = [None if window.is_whole else window for window in tiles]
        for window in windows:
            for way in self.ways:
                yield partial(_view_of, picture, window, way, len(windows) * len(self.ways))


def _view_of(
    picture: UnlabelledPicture, window: Window | None, augmentation: Augmentation, num_views: int
) -> UnlabelledView:
    pixels, original, number = picture.pixels, picture.size, picture.number
    if window is not None:
        pixels, original = cut_pixels(pixels, window), window.size
    key = picture_key(seed=0, epoch=0, index=number)
    no_boxes = np.zeros((0, 4), dtype=np.float32)
    placement = augmentation.place(original, no_boxes, generator_for(key))
    record = PictureRecord(
        index=number,
        image_id=number,
        file_name=picture.name,
        original=original,
        placement=placement,
        ignored_boxes=torch.zeros(0, 4),
        window=window,
    )
    sample = Sample(
        pixels=move_pixels(pixels, placement),
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        key=key,
        record=record,
        damage=picture.damage,
    )
    return UnlabelledView(picture, num_views, sample)


def batch_of(views: Iterable[UnlabelledView], padding: SmallestCanvas) -> Batch:
    """Views that need the same canvas, on it."""
    samples = [view.sample for view in views]
    return pad_pictures(samples, padding.canvas_for([sample.record.placement.placed for sample in samples]))


def group_by_canvas(
    views: Iterable[UnlabelledView], padding: SmallestCanvas, *, batch_size: int
) -> Iterator[list[UnlabelledView]]:
    """Group views that need the same canvas, so that no detection depends on which others share its batch.

    Args:
        views: Taken one by one.
        padding: The canvas of each.
        batch_size: Most views in a group. Of views that wait for company, at most four times as many are
            held; the largest group goes first when there are more.

    Yields:
        Every view once.
    """
    waiting: dict[Size, list[UnlabelledView]] = {}
    num_waiting = 0
    for view in views:
        canvas = padding.canvas_for([view.sample.record.placement.placed])
        waiting.setdefault(canvas, []).append(view)
        num_waiting += 1
        if len(waiting[canvas]) < batch_size:
            if num_waiting < _NUM_BATCHES_WAITING * batch_size:
                continue
            canvas = max(waiting, key=lambda size: len(waiting[size]))
        group = waiting.pop(canvas)
        num_waiting -= len(group)
        yield group
    yield from waiting.values()


def read_ahead(
    read: Callable[[Item], Read], items: Iterable[Item], *, num_threads: int, num_ahead: int
) -> Generator[Read]:
    """What ``read`` makes of each item, in order, made by threads before it is asked for.

    Threads rather than processes: most of the time goes into decoding and resizing, which let other threads
    run, and pictures need not be copied from process to process.

    Args:
        read: Called in any thread.
        items: What to read.
        num_threads: How many are read at once.
        num_ahead: How many results may wait to be taken.

    Raises:
        OutOfMemoryError: Not even one thread may be started; while iterating.
    """
    pool = ThreadPoolExecutor(num_threads)
    results: deque[Future[Read]] = deque()
    try:
        for item in items:
            results.append(_submitted(pool, read, item))
            if len(results) > num_ahead:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(pool: ThreadPoolExecutor, read: Callable[[Item], Read], item: Item) -> Future[Read]:
    try:
        return pool.submit(read, item)
    except RuntimeError as error:
        shortage = shortage_of(error, remedy="take fewer threads: --set data.num_workers=1")
        if shortage is None:
            raise
        raise shortage from error
