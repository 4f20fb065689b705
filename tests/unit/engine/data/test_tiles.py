import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.decoded_pictures import DecodedPictures
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.pixels import cut_pixels
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.tiles import Tiling, cut_into_tiles
from hrdet_cli.engine.geometry import Scale, Size, Window

TILING = Tiling(side=32, overlap=8, min_share=0.5, with_whole=False)
TWICE_AS_LARGE = ResizeAugmentation(scales=(Scale(64, 64),), mode="choice", flip_probability=1)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(2, 200), st.data())
def test_tiles_cover_a_picture_overlap_enough_and_are_as_few_as_that_allows(
    height: int, width: int, side: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, side - 1))
    windows = Tiling(side=side, overlap=overlap, min_share=1, with_whole=False).windows_of(
        Size(height, width)
    )
    tops = sorted({window.top for window in windows})
    lefts = sorted({window.left for window in windows})
    assert len(windows) == len(tops) * len(lefts)
    for starts, length in ((tops, height), (lefts, width)):
        tile = min(length, side)
        assert starts[0] == 0
        assert starts[-1] + tile == length
        assert all(after - before <= side - overlap for before, after in itertools.pairwise(starts))
        assert len(starts) == 1 + -(-(length - tile) // (side - overlap))
    assert {window.size for window in windows} == {Size(min(height, side), min(width, side))}


def test_a_picture_that_is_cut_can_be_there_whole_besides() -> None:
    with_whole = Tiling(side=32, overlap=8, min_share=0.5, with_whole=True)
    assert with_whole.windows_of(Size(32, 50))[-1] == Window(0, 0, Size(32, 50), Size(32, 50))
    assert len(with_whole.windows_of(Size(32, 50))) == 3
    assert len(with_whole.windows_of(Size(32, 32))) == 1


def boxes_of(annotations: CocoAnnotations, index: int) -> list[list[float]]:
    boxes: list[list[float]] = annotations.targets_of(index)[0].tolist()
    return boxes


def one_picture(annotations: CocoAnnotations, boxes: Sequence[Sequence[float]]) -> CocoAnnotations:
    """Picture 0 of 60x40 pixels alone, with these boxes."""
    return replace(
        annotations,
        image_ids=annotations.image_ids[:1],
        file_names=annotations.file_names[:1],
        sizes=annotations.sizes[:1],
        offsets=np.array([0, len(boxes)]),
        boxes=np.array(boxes, dtype=np.float32),
        labels=np.zeros(len(boxes), dtype=np.int64),
        is_crowd=np.zeros(len(boxes), dtype=np.bool_),
    )


def test_boxes_move_with_their_tile_and_what_is_too_little_becomes_a_crowd_region(
    annotations: CocoAnnotations,
) -> None:
    # 60 columns have tiles from 0, 14 and 28, 40 rows from 0 and 8. The first box is whole in the first tile,
    # and in that below; of the second, the first tiles show 6 of 10 columns, which is enough.
    # Of the third one they show 3 of 10.
    boxes = [[2.0, 10, 12, 20], [26.0, 10, 36, 20], [29.0, 10, 39, 20]]
    cuts = cut_into_tiles(one_picture(annotations, boxes), TILING)
    tiles = cuts.annotations
    assert tiles.windows is not None
    assert [window and (window.left, window.top) for window in map(tiles.window_of, range(6))] == [
        (0, 0),
        (14, 0),
        (28, 0),
        (0, 8),
        (14, 8),
        (28, 8),
    ]
    assert boxes_of(tiles, 0) == [[2, 10, 12, 20], [26, 10, 32, 20]]
    assert tiles.crowd_of(0)[0].tolist() == [[29, 10, 32, 20]]
    assert boxes_of(tiles, 4) == [[12, 2, 22, 12], [15, 2, 25, 12]]
    assert set(tiles.image_ids.tolist()) == {100}
    assert tiles.size_of(5) == Size(32, 32)
    assert (cuts.num_cut, cuts.num_never_whole, cuts.num_never_shown) == (1, 0, 0)


def test_objects_that_are_whole_in_no_tile_are_counted(annotations: CocoAnnotations) -> None:
    # Of the first one a tile shows 32 of 56 columns, of the second one 32 of 60 and of 40 rows as many.
    boxes = [[0.0, 0, 56, 32], [0.0, 0, 60, 40], [0.0, 0, 10, 10]]
    cuts = cut_into_tiles(one_picture(annotations, boxes), TILING)
    assert (cuts.num_never_whole, cuts.num_never_shown) == (2, 1)
    whole = Tiling(side=32, overlap=8, min_share=0.5, with_whole=True)
    assert cut_into_tiles(one_picture(annotations, boxes), whole).num_never_whole == 0


def test_tiles_of_joined_data_sets_know_theirs(annotations: CocoAnnotations) -> None:
    joined = replace(annotations, set_numbers=np.array([0] + [1] * (len(annotations) - 1)))
    tiles = cut_into_tiles(joined, TILING).annotations
    of_first = len(TILING.windows_of(annotations.size_of(0)))
    assert tiles.set_numbers is not None
    assert tiles.set_numbers.tolist() == [0] * of_first + [1] * (len(tiles) - of_first)
    assert cut_into_tiles(annotations, TILING).annotations.set_numbers is None


def test_pictures_no_larger_than_a_tile_stay_as_they_are(annotations: CocoAnnotations) -> None:
    cuts = cut_into_tiles(annotations, Tiling(side=60, overlap=8, min_share=0.5, with_whole=True))
    assert cuts.num_cut == 0
    assert all(cuts.annotations.window_of(index) is None for index in range(len(annotations)))
    for column in ("image_ids", "file_names", "sizes", "offsets", "boxes", "labels", "is_crowd"):
        assert np.array_equal(getattr(cuts.annotations, column), getattr(annotations, column))


def dataset_of(folder: Path, annotations: CocoAnnotations, decoded: DecodedPictures | None) -> PictureDataset:
    return PictureDataset(
        annotations=annotations,
        images=open_images(folder),
        augmentation=TWICE_AS_LARGE,
        seed=0,
        with_masks=True,
        decoded=decoded,
    )


def test_a_sample_of_a_tile_is_that_of_a_picture_that_was_cut_out_and_saved(
    pictures_folder: Path, outlined_annotations: CocoAnnotations, tmp_path: Path
) -> None:
    tiles = cut_into_tiles(outlined_annotations, TILING).annotations
    of_picture = np.flatnonzero(tiles.image_ids == 105)
    index = int(of_picture[4])  # from column 14 and row 8
    window = tiles.window_of(index)
    assert window is not None
    assert (window.left, window.top) == (14, 8)
    tile = dataset_of(pictures_folder, tiles, DecodedPictures(most_bytes=0, max_pixels=10_000)).sample(
        0, Showing(index)
    )
    with Image.open(pictures_folder / "5.png") as picture:
        picture.crop((14, 8, 46, 40)).save(tmp_path / "5.png")
    segmentations = tiles.segmentations
    assert segmentations is not None
    moved = replace(segmentations, corners=segmentations.corners - np.array([14, 8], dtype=np.float32))
    cut_out = dataset_of(tmp_path, replace(tiles, windows=None, segmentations=moved), None).sample(
        0, Showing(index)
    )
    assert len(tile.boxes) > 1
    assert torch.equal(tile.pixels, cut_out.pixels)
    assert torch.equal(tile.boxes, cut_out.boxes)
    assert tile.masks is not None
    assert cut_out.masks is not None
    rows = tiles.segmentations_of(index, np.ones(len(tile.boxes), dtype=np.bool_)).has_polygons
    assert rows.any()
    assert torch.equal(tile.masks[rows], cut_out.masks[rows])
    assert (tile.key, tile.record.window) == (cut_out.key, window)


def test_masks_of_runs_in_a_tile_are_those_of_the_whole_picture(
    pictures_folder: Path, outlined_annotations: CocoAnnotations
) -> None:
    # A box that is whole in a tile has the same frame as in the picture, at the same scale.
    tiling = Tiling(side=59, overlap=58, min_share=0.5, with_whole=True)
    tiles = cut_into_tiles(outlined_annotations, tiling).annotations
    *parts, whole = np.flatnonzero(tiles.image_ids == 105).tolist()
    same = ResizeAugmentation(scales=(Scale(60, 60),), mode="choice", flip_probability=0)
    dataset = dataset_of(pictures_folder, tiles, None)
    dataset.augmentation = same
    all_masks = dataset.sample(0, Showing(whole)).masks
    assert all_masks is not None
    has_runs = tiles.segmentations_of(whole, np.ones(len(all_masks), dtype=np.bool_)).has_runs
    assert has_runs.any()
    left = boxes_of(tiles, whole)
    sample = dataset.sample(0, Showing(parts[0]))
    assert sample.masks is not None
    assert boxes_of(tiles, parts[0]) == left
    difference = (sample.masks != all_masks).float().mean()
    assert difference < 0.02  # the tile is a column narrower, and is enlarged by a sixtieth more


def test_a_tile_of_pixels_lies_in_memory_of_its_own_row_by_row() -> None:
    picture = torch.arange(3 * 6 * 5, dtype=torch.uint8).view(6, 5, 3).permute(2, 0, 1)
    tile = cut_pixels(picture, Window(1, 2, Size(3, 4), Size(6, 5)))
    assert torch.equal(tile, picture[:, 2:5, 1:5])
    assert tile.permute(1, 2, 0).is_contiguous()
    assert tile.untyped_storage().nbytes() == 3 * 3 * 4


def test_a_picture_is_decoded_once_for_its_tiles_and_room_is_made_for_the_next(pictures_folder: Path) -> None:
    reads: list[str] = []

    def reader(name: str) -> bytes:
        reads.append(name)
        return (pictures_folder / name).read_bytes()

    size = Size(40, 60)
    decoded = DecodedPictures(most_bytes=2 * 3 * size.num_pixels, max_pixels=size.num_pixels)
    for name in ("0.png", "1.png", "0.png", "2.png", "0.png", "1.png"):
        decoded.get(name, size, partial(reader, name))
    assert reads == ["0.png", "1.png", "2.png", "1.png"]  # 1 made room for 2: 0 was wanted later
    small = DecodedPictures(most_bytes=0, max_pixels=size.num_pixels)
    reads.clear()
    for name in ("0.png", "0.png", "1.png", "1.png"):
        small.get(name, size, partial(reader, name))
    assert reads == ["0.png", "1.png"]


def test_tiles_that_are_nothing_but_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="tiles of 8 pixels cannot overlap by 8"):
        Tiling(side=8, overlap=8, min_share=1, with_whole=False)
