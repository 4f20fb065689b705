"""The tiny network, an untrained detector with masks, and pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hrdet_cli as hrdet
from tests.detectors_on_disk import FINDS_MUCH, MASKS, write_untrained
from tests.tiny_network import tiny_network


@pytest.fixture(autouse=True, scope="module")
def _small_network_is_tiny() -> Iterator[None]:
    """For a file of tests at a time: what is set for a folder of tests lasts until the last test of all."""
    with tiny_network():
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an untrained detector with masks and two classes, cat and dog, whose ids are 3 and 7."""
    with tiny_network():
        return write_untrained(tmp_path_factory.mktemp("untrained") / "last.pt", {**FINDS_MUCH, **MASKS})


@pytest.fixture(scope="session")
def detector(checkpoint: Path) -> hrdet.Predictor:
    """The same, loaded."""
    with tiny_network():
        return hrdet.load(checkpoint)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A PNG, a JPEG of another shape that EXIF turns, and a PNG with a palette."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = np.random.default_rng(5).integers(256, size=(12, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(drawn).resize((160, 120), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [folder / "a.png", folder / "b.jpg", folder / "c.png"]
    picture.save(paths[0])
    picture.resize((90, 130)).save(paths[1], quality=95, exif=exif)
    picture.convert("P").save(paths[2])
    return paths
