"""The views of pictures as the detector gets them: read ahead, decoded, placed, and grouped by canvas."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

from hrdet_cli.engine.data.bomb_warnings import bomb_warnings_ignored
from hrdet_cli.engine.data.decoding import decode_picture
from hrdet_cli.engine.data.padding import SmallestCanvas
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


def read_views(
    inputs: Sequence[PictureInput],
    failed: list[FailedPicture],
    *,
    viewing: Viewing,
    padding: SmallestCanvas,
    num_threads: int,
    batch_size: int,
) -> Generator[list[UnlabelledView]]:
    """Groups of views that need one canvas; pictures that cannot be read go into ``failed``.

    Args:
        inputs: What to read.
        failed: Gets what cannot be read.
        viewing: How each picture is looked at.
        padding: The canvas of each view.
        num_threads: How many pictures are read, and how many views placed, at once.
        batch_size: Most views in a group.
    """
    with (
        bomb_warnings_ignored(),
        closing(read_ahead(_read, inputs, num_threads=num_threads, num_ahead=num_threads)) as pictures,
        closing(
            read_ahead(
                lambda make: make(),
                chain.from_iterable(map(viewing.views_of, _sound(pictures, failed))),
                num_threads=num_threads,
                num_ahead=max(2 * num_threads, batch_size),
            )
        ) as views,
    ):
        yield from group_by_canvas(views, padding, batch_size=batch_size)


def _read(picture: PictureInput) -> UnlabelledPicture | FailedPicture:
    try:
        data = picture.images.read(picture.member)
        pixels, damage = decode_picture(data, expected=None, name=picture.name)
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
