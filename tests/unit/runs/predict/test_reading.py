"""Large pictures that are cut into tiles come one by one, however many there are."""

import weakref

import torch

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.tiles import Tiling
from hrdet_cli.engine.data.unlabelled import UnlabelledPicture, UnlabelledView, Viewing
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.runs.predict.reading import read_views

WAYS = (ResizeAugmentation(scales=(Scale(32, 32),), mode="choice", flip_probability=0),)
TILING = Tiling(side=32, overlap=8, min_share=0.5, with_whole=False)


def test_while_one_picture_is_looked_at_one_other_is_decoded_and_no_group_has_tiles_of_both() -> None:
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    most_alive = 0

    def read(number: int) -> UnlabelledPicture:
        nonlocal most_alive
        pixels = torch.zeros(3, 80, 104, dtype=torch.uint8)
        alive.add(pixels)
        most_alive = max(most_alive, len(alive))
        return UnlabelledPicture(pixels, number, f"{number}.jpg")

    def numbers_of(group: list[UnlabelledView]) -> list[int]:
        return [view.picture.number for view in group]

    views = read_views(
        range(6),
        read,
        [],
        viewing=Viewing(WAYS, TILING),
        padding=SmallestCanvas(),
        num_threads=4,
        batch_size=5,
    )
    groups = list(map(numbers_of, views))
    num_tiles = len(TILING.windows_of(UnlabelledPicture(torch.zeros(3, 80, 104), 0, "").size))
    expected = [[number] * size for number in range(6) for size in (5, 5, 2)]
    assert num_tiles == 12
    assert groups == expected
    assert most_alive == 2
