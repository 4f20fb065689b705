import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.folder_images import FolderImages
from hrdet_cli.engine.data.label_maps import LabelMapError, LabelMaps, map_name
from hrdet_cli.engine.data.transforms import Crop, Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

ORIGINAL = Size(45, 70)


def make_labels() -> NDArray[np.uint8]:
    labels = np.random.default_rng(0).integers(0, 183, (ORIGINAL.height, ORIGINAL.width)).astype(np.uint8)
    labels[::7] = 255
    return labels


def maps_with(folder: Path, image: Image.Image, *, num_labels: int = 183) -> LabelMaps:
    (folder / "a").mkdir()
    image.save(folder / "a" / "1.png")
    return LabelMaps(FolderImages(folder), num_labels=num_labels)


@pytest.mark.parametrize(
    "placement",
    [
        Placement(ORIGINAL),
        Placement(Size(90, 140)),
        Placement(Size(33, 51), flipped=True),
        Placement(Size(101, 157), flipped=True),
        Placement(Size(101, 157), crop=Crop(13, 40, Size(64, 83))),
        Placement(Size(101, 157), crop=Crop(13, 40, Size(61, 83)), flipped=True),
        Placement(Size(101, 157), quarter_turns=1),
        Placement(Size(101, 157), flipped=True, quarter_turns=2),
        Placement(Size(101, 157), crop=Crop(13, 40, Size(61, 83)), flipped=True, quarter_turns=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_are_every_eighth_pixel_of_opencvs_nearest_resize(
    tmp_path: Path, placement: Placement, mode: str
) -> None:
    labels = make_labels()
    image = Image.fromarray(labels, mode="L")
    if mode == "P":
        image = image.convert("P")
        image.putdata(labels.flatten().tolist())
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype(np.uint8).tobytes())
    found = maps_with(tmp_path, image).read("a/1.jpg", ORIGINAL, placement)
    resized = cv2.resize(
        labels, (placement.resized.width, placement.resized.height), interpolation=cv2.INTER_NEAREST
    )
    if placement.crop is not None:
        top, left, size = placement.crop.top, placement.crop.left, placement.crop.size
        resized = resized[top : top + size.height, left : left + size.width]
    if placement.flipped:
        resized = resized[:, ::-1]
    resized = np.rot90(resized, placement.quarter_turns)
    np.testing.assert_array_equal(found, resized[::8, ::8])
    assert found.dtype == np.uint8


def test_an_error_comes_out_of_a_data_worker_as_it_was() -> None:
    error = LabelMapError("1.png", "is 8x8", fault="size")
    received = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert isinstance(received, LabelMapError)
    assert (str(received), received.what, received.fault) == ("label map 1.png is 8x8.", "is 8x8", "size")


def test_a_map_is_called_as_its_picture() -> None:
    assert [map_name(name) for name in ("1.jpg", "a/b.c.JPEG", "x.png")] == ["1.png", "a/b.c.png", "x.png"]


@pytest.mark.parametrize(
    ("change", "num_labels", "what"),
    [
        (
            lambda image: image.crop((0, 0, 60, 45)),
            183,
            "label map a/1.png is 60x45, but its picture a/1.jpg is 70x45, width x height",
        ),
        (
            lambda image: image,
            100,
            r"label map a/1.png has the label 1\d\d, but there are 100, counted from 0",
        ),
        (
            lambda image: image.convert("RGB"),
            183,
            "label map a/1.png has pixels of mode RGB, not a label of 8",
        ),
    ],
)
def test_a_map_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[Image.Image], Image.Image], num_labels: int, what: str
) -> None:
    maps = maps_with(tmp_path, change(Image.fromarray(make_labels())), num_labels=num_labels)
    with pytest.raises(DataError, match=what):
        maps.read("a/1.jpg", ORIGINAL, Placement(ORIGINAL))


def test_what_is_no_picture_and_what_is_not_there_are_told(tmp_path: Path) -> None:
    maps = maps_with(tmp_path, Image.fromarray(make_labels()))
    (tmp_path / "a" / "1.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"label map a/1\.png cannot be decoded"):
        maps.read("a/1.jpg", ORIGINAL, Placement(ORIGINAL))
    assert maps.find(["a/1.jpg", "a/2.jpg"]).missing == ["a/2.png"]
    with pytest.raises(DataError, match=r"picture a/2\.png is not in "):
        maps.read("a/2.jpg", ORIGINAL, Placement(ORIGINAL))
