"""A picture that cannot be read is replaced by another one, the same in every run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, StepCanvases
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.errors import DataError

FIXED = FixedCanvas(long=96, short=64)
CANVASES = StepCanvases(canvases=(Scale(96, 64), Scale(64, 64)))


def batches_of(
    folder: Path,
    annotations: CocoAnnotations,
    *,
    gone: Sequence[int] = (),
    num_workers: int = 0,
    padding: PaddingPolicy = FIXED,
    epoch: int = 0,
) -> list[Batch]:
    """An epoch in which some pictures are not there."""
    names = annotations.file_names.tolist()
    for index in gone:
        names[index] = f"gone-{index}.png"
    annotations = dataclasses.replace(annotations, file_names=np.array(names))
    augmentation = ResizeAugmentation(
        scales=(Scale(60, 40), Scale(90, 60)), mode="choice", flip_probability=0.5
    )
    dataset = PictureDataset(
        annotations=annotations, images=open_images(folder), augmentation=augmentation, seed=3
    )
    steps = TrainingSteps(
        annotations=annotations,
        indices=np.arange(1, len(dataset)),
        augmentation=augmentation,
        padding=padding,
        batch_size=2,
        seed=3,
    )
    with TrainingLoader(
        dataset=dataset,
        steps=steps,
        world=World(rank=0, size=1),
        num_workers=num_workers,
        device=torch.device("cpu"),
        skips_broken=True,
    ) as loader:
        return list(loader.batches(epoch))


@pytest.mark.parametrize("padding", [FIXED, CANVASES])
def test_only_the_broken_pictures_are_replaced_and_they_are_named(
    pictures_folder: Path, annotations: CocoAnnotations, padding: PaddingPolicy
) -> None:
    whole = batches_of(pictures_folder, annotations, padding=padding)
    mended = batches_of(pictures_folder, annotations, gone=(5, 8), padding=padding)
    replaced = 0
    for batch, expected in zip(mended, whole, strict=True):
        assert batch.images.pixels.shape == expected.images.pixels.shape
        wanted = [record.index for record in expected.records]
        assert {picture.file_name for picture in batch.broken} == {
            f"gone-{index}.png" for index in wanted if index in (5, 8)
        }
        assert all(
            picture.reason.startswith(f"picture {picture.file_name} is not in") for picture in batch.broken
        )
        for row, index in enumerate(wanted):
            if index in (5, 8):
                replaced += 1
                assert batch.records[row].index not in (0, 5, 8)
            else:
                assert torch.equal(batch.images.pixels[row], expected.images.pixels[row])
    assert replaced >= 2


def test_the_same_picture_takes_the_place_with_any_number_of_workers_and_another_in_other_epochs(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    def indices(epoch: int, num_workers: int = 0) -> list[list[int]]:
        batches = batches_of(pictures_folder, annotations, gone=(5,), num_workers=num_workers, epoch=epoch)
        return [[record.index for record in batch.records] for batch in batches]

    assert indices(0) == indices(0, num_workers=2)
    spares = set()
    for epoch in range(8):
        present = [index for batch in indices(epoch) for index in batch]
        spares.add(next(index for index in sorted(present) if present.count(index) > 1))
    assert len(spares) > 1


def test_where_no_picture_can_be_read_that_is_an_error(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    with pytest.raises(DataError, match="Of 100 other pictures drawn in its place none can be read"):
        batches_of(pictures_folder, annotations, gone=range(len(annotations.file_names)))
