"""The views of pictures as the detector gets them: read ahead, decoded, placed, and grouped by canvas."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import TypeVar

from hrdet_cli.engine.data.decoding import decode_picture
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.pillow_limits import unlimited_pillow
from hrdet_cli.engine.data.unlabelled import (
    UnlabelledPicture,
    UnlabelledView,
    Viewing,
    group_by_canvas,
    read_ahead,
)
from hrdet_cli.errors import DataError
from hrdet_cli.runs.predict.document import FailedPicture
from hrdet_cli.runs.predict.inputs import PictureInput

Item = TypeVar("Item")


def read_views(
    inputs: Iterable[Item],
    read: Callable[[Item], UnlabelledPicture | FailedPicture],
    failed: list[FailedPicture],
    *,
    viewing: Viewing,
    padding: SmallestCanvas,
    num_threads: int,
    batch_size: int,
) -> Generator[list[UnlabelledView]]:
    """Groups of views that need one canvas; pictures that cannot be read go into ``failed``.

    Pictures that are cut into tiles are large: while one is looked at, one other is decoded, and no group has
    tiles of both.

    Args:
        inputs: What to read; taken one by one.
        read: Reads one, in any thread.
        failed: Gets what cannot be read.
        viewing: How each picture is looked at.
        padding: The canvas of each view.
        num_threads: How many whole pictures are read, and how many views placed, at once.
        batch_size: Most views in a group.
    """
    num_at_once = num_threads if viewing.tiling is None else 1
    with (
        unlimited_pillow(),
        closing(read_ahead(read, inputs, num_threads=num_at_once, num_ahead=num_at_once)) as pictures,
    ):
        by_picture = map(viewing.views_of, _sound(pictures, failed))
        streams: Iterable[Iterator[Callable[[], UnlabelledView]]] = (
            [chain.from_iterable(by_picture)] if viewing.tiling is None else by_picture
        )
        for stream in streams:
            with closing(
                read_ahead(
                    lambda make: make(),
                    stream,
                    num_threads=num_threads,
                    num_ahead=max(2 * num_threads, batch_size),
                )
            ) as views:
                yield from group_by_canvas(views, padding, batch_size=batch_size)


def read_picture(picture: PictureInput, *, max_pixels: int) -> UnlabelledPicture | FailedPicture:
    """A picture of a file, or why it cannot be read; larger ones than ``max_pixels`` are not decoded."""
    try:
        data = picture.images.read(picture.member)
        pixels, damage = decode_picture(data, expected=None, name=picture.name, max_pixels=max_pixels)
    except DataError as error:
        reason = str(error).removeprefix("picture ").removeprefix(f"{picture.member} ").removesuffix(".")
        return FailedPicture(picture.number, picture.name, reason.removeprefix(f"{picture.name} "))
    return UnlabelledPicture(pixels, picture.number, picture.name, damage)


def _sound(
    results: Iterable[UnlabelledPicture | FailedPicture], failed: list[FailedPicture]
) -> Iterator[UnlabelledPicture]:
    for result in results:
        if isinstance(result, FailedPicture):
            failed.append(result)
        else:
            yield result
        del result  # which would else be there while the next but one is decoded
