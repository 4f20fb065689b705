"""What a worker process holds: blocks for its batches, and no more after many pictures than before."""

import gc
import io
import zipfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.padding import FixedCanvas
from hrdet_cli.engine.data.picture_names import FoundNames
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Scale

NUM_PICTURES, NUM_BOXES, EDGE = 40_000, 290_000, 16
"""A third of COCO's."""
NUM_READ, EVERY, BATCH_SIZE = 4000, 500, 50
MAX_GROWTH = 8 * 2**20
"""Bytes; a search for cycles over the parent's objects adds 80 MB, and a busy machine up to 4 MB."""


class MeasuredImages:
    """Notes its process's private memory after every so many pictures; then searches for cycles, once."""

    def __init__(self, images: ImageSource, log: Path) -> None:
        self._images = images
        self._log = log
        self._num_read = 0

    def read(self, name: str) -> bytes:
        self._num_read += 1
        if self._num_read % EVERY == 0:
            if self._num_read == NUM_READ // 2:
                gc.collect()
            with self._log.open("a") as log:
                log.write(f"{private_bytes()}\n")
        return self._images.read(name)

    def find(self, names: Sequence[str]) -> FoundNames:
        return self._images.find(names)

    def why_missing(self, name: str) -> str:
        return self._images.why_missing(name)

    def notes(self) -> Sequence[str]:
        return self._images.notes()


def private_bytes() -> int:
    """Memory that only this process holds and has written to."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def annotations_of(names: Sequence[str]) -> CocoAnnotations:
    chance = np.random.default_rng(0)
    counts = np.bincount(chance.integers(0, NUM_PICTURES, NUM_BOXES), minlength=NUM_PICTURES)
    corners = chance.uniform(0, EDGE / 2, (NUM_BOXES, 2)).astype(np.float32)
    return CocoAnnotations(
        path=Path("instances.json"),
        fingerprint="",
        image_ids=np.arange(NUM_PICTURES),
        file_names=np.array(names),
        sizes=np.full((NUM_PICTURES, 2), EDGE, dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.concatenate([corners, corners + EDGE / 2], axis=1),
        labels=chance.integers(0, 80, NUM_BOXES),
        is_crowd=chance.random(NUM_BOXES) < 0.01,
        class_names=tuple(f"class {number}" for number in range(80)),
        category_ids=tuple(range(80)),
        dropped_boxes={},
    )


def write_archive(path: Path, names: Sequence[str]) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (EDGE, EDGE), (200, 60, 20)).save(picture, "JPEG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"train2017/{name}", picture.getvalue())


def test_a_block_is_used_again_after_all_others() -> None:
    memory = WorkerMemory(3)
    addresses = [memory.take((2, 5)).data_ptr() for _ in range(9)]
    assert len(set(addresses[:3])) == 3
    assert addresses == addresses[:3] * 3


@pytest.mark.parametrize("is_shared", [True, False])
def test_blocks_are_shared_if_need_be_and_grow_with_what_is_asked_of_them(is_shared: bool) -> None:
    memory = WorkerMemory(1, is_shared=is_shared)
    for shape in [(2, 5), (1, 4), (3, 100), (2, 5)]:
        block = memory.take(shape)
        assert (block.shape, block.dtype, block.is_contiguous()) == (shape, torch.uint8, True)
        assert block.is_shared() == is_shared  # type: ignore[no-untyped-call]  # torch gives no types
        block.fill_(7)


@pytest.mark.slow
def test_a_worker_holds_the_same_memory_after_4000_pictures_as_after_500(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("needs /proc/self/smaps_rollup")
    names = [f"{index:012}.jpg" for index in range(NUM_PICTURES)]
    write_archive(tmp_path / "train2017.zip", names)
    log = tmp_path / "memory.txt"
    augmentation = ResizeAugmentation(scales=(Scale(32, 32),), mode="choice", flip_probability=0.5)
    dataset = PictureDataset(
        annotations=annotations_of(names),
        images=MeasuredImages(open_images(tmp_path / "train2017.zip"), log),
        augmentation=augmentation,
        seed=0,
    )
    steps = TrainingSteps(
        annotations=dataset.annotations,
        indices=np.arange(NUM_PICTURES),
        augmentation=augmentation,
        padding=FixedCanvas(long=64, short=64),
        batch_size=BATCH_SIZE,
        seed=0,
    )
    gc.disable()  # here: pages that this process copies, searching what other tests left, become the worker's
    try:
        with TrainingLoader(
            dataset=dataset, steps=steps, world=World(), num_workers=1, device=torch.device("cpu")
        ) as loader:
            for _ in islice(loader.batches(0), NUM_READ // BATCH_SIZE):
                pass
    finally:
        gc.enable()
    first, *others = map(int, log.read_text().split())
    assert len(others) >= NUM_READ // EVERY - 1
    assert max(others) - first < MAX_GROWTH
