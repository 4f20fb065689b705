import dataclasses
import multiprocessing
import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.loader import EvaluationLoader, TrainingLoader
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, SmallestCanvas, StepCanvases
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError

_ALONE = World(rank=0, size=1)
_SCALES = (Scale(60, 40), Scale(72, 48), Scale(90, 60))
_FIXED = FixedCanvas(long=96, short=64)
_CANVASES = StepCanvases(canvases=(Scale(96, 64), Scale(64, 64)))


def _pictures(folder: Path, annotations: CocoAnnotations, *scales: Scale) -> PictureDataset:
    augmentation = ResizeAugmentation(
        scales=scales, mode="choice", flip_probability=0.5 if len(scales) > 1 else 0
    )
    return PictureDataset(
        annotations=annotations,
        images=open_images(folder),
        augmentation=augmentation,
        seed=3,
        with_masks=annotations.segmentations is not None,
    )


@pytest.fixture
def dataset(pictures_folder: Path, outlined_annotations: CocoAnnotations) -> PictureDataset:
    return _pictures(pictures_folder, outlined_annotations, *_SCALES)


@pytest.fixture
def plain_dataset(pictures_folder: Path, annotations: CocoAnnotations) -> PictureDataset:
    return _pictures(pictures_folder, annotations, _SCALES[1])


def _training(
    dataset: PictureDataset,
    *,
    num_workers: int = 0,
    world: World = _ALONE,
    per_process: int = 2,
    padding: PaddingPolicy = _FIXED,
    has_equal_rows: bool = False,
) -> TrainingLoader:
    steps = TrainingSteps(
        annotations=dataset.annotations,
        indices=np.arange(1, len(dataset)),  # picture 0 takes no part
        augmentation=dataset.augmentation,
        padding=padding,
        batch_size=per_process * world.size,
        seed=dataset.seed,
    )
    return TrainingLoader(
        dataset=dataset,
        steps=steps,
        world=world,
        num_workers=num_workers,
        device=torch.device("cpu"),
        has_equal_rows=has_equal_rows,
    )


def _evaluation(
    dataset: PictureDataset, *, batch_size: int, num_workers: int = 0, world: World = _ALONE
) -> EvaluationLoader:
    return EvaluationLoader(
        dataset=dataset,
        batch_size=batch_size,
        world=world,
        padding=SmallestCanvas(),
        num_workers=num_workers,
        device=torch.device("cpu"),
    )


def _indices(batches: Iterator[Batch]) -> list[list[int]]:
    return [[record.index for record in batch.records] for batch in batches]


def _assert_equal(batches: Iterator[Batch], expected: Iterator[Batch]) -> None:
    for batch, other in zip(batches, expected, strict=True):
        for part in ("pixels", "sizes", "keys"):
            assert torch.equal(getattr(batch.images, part), getattr(other.images, part))
        for part in ("boxes", "labels", "is_valid"):
            assert torch.equal(getattr(batch.targets, part), getattr(other.targets, part))
        masks, other_masks = batch.targets.masks, other.targets.masks
        if masks is None or other_masks is None:
            assert masks is other_masks
        else:
            assert torch.equal(masks, other_masks)
        assert [record.placement for record in batch.records] == [
            record.placement for record in other.records
        ]


def test_all_batches_have_the_rows_of_the_fullest_picture_where_they_are_to_be_equal(
    plain_dataset: PictureDataset,
) -> None:
    as_needed = [*_training(plain_dataset).batches(0)]
    equal = [*_training(plain_dataset, has_equal_rows=True).batches(0)]
    assert {batch.targets.boxes.shape[1] for batch in as_needed} == {8, 16}
    for batch, padded in zip(as_needed, equal, strict=True):
        num_rows = batch.targets.boxes.shape[1]
        assert padded.targets.boxes.shape == (2, 16, 4)
        assert torch.equal(padded.targets.boxes[:, :num_rows], batch.targets.boxes)
        assert torch.equal(padded.targets.is_valid[:, :num_rows], batch.targets.is_valid)
        assert not padded.targets.is_valid[:, num_rows:].any()


def test_an_epoch_holds_each_chosen_picture_once_plus_those_that_fill_the_last_batches(
    dataset: PictureDataset,
) -> None:
    loader = _training(dataset, per_process=4)
    batches = _indices(loader.batches(0))
    seen = Counter(index for batch in batches for index in batch)
    assert min(seen[index] for index in range(1, len(dataset))) == 1
    assert seen.total() == len(dataset) - 1 + loader.steps.sampler.num_fillers
    assert len(batches) == loader.num_steps_per_epoch == 3  # 7 landscape or square, 3 portrait, by fours


def test_batches_do_not_depend_on_the_number_of_workers(dataset: PictureDataset) -> None:
    alone = _training(dataset)
    assert all(masks is not None and masks.any() for masks in (b.targets.masks for b in alone.batches(0)))
    with _training(dataset, num_workers=2) as loader:
        for epoch in (0, 1):
            _assert_equal(loader.batches(epoch), alone.batches(epoch))


def test_more_workers_than_cores_are_slower_not_wrong(
    dataset: PictureDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0})
    with warnings.catch_warnings(), _training(dataset, num_workers=2) as loader:
        warnings.simplefilter("error")
        assert len(list(loader.batches(0))) == loader.num_steps_per_epoch


def test_a_slow_reader_sees_each_batch_as_it_was_made(dataset: PictureDataset) -> None:
    alone = _training(dataset, per_process=1)
    with _training(dataset, per_process=1, num_workers=1) as loader:
        for epoch in (0, 1):
            batches = []  # all are kept, while the worker makes the next ones in the memory that it has
            for batch in loader.batches(epoch):
                time.sleep(0.01)
                batches.append(batch)
            _assert_equal(iter(batches), alone.batches(epoch))


def test_entering_an_epoch_later_gives_the_batches_of_an_uninterrupted_one(dataset: PictureDataset) -> None:
    loader = _training(dataset)
    uninterrupted = list(loader.batches(2))
    _assert_equal(loader.batches(2, first_step=2), iter(uninterrupted[2:]))
    assert list(loader.batches(2, first_step=loader.num_steps_per_epoch)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_leaving_an_epoch_early_leaves_nothing_behind_in_the_next(
    dataset: PictureDataset, num_workers: int
) -> None:
    with _training(dataset, num_workers=num_workers) as loader:
        abandoned = loader.batches(0)
        next(abandoned)
        _assert_equal(loader.batches(1), _training(dataset).batches(1))
        assert next(abandoned, None) is None


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_batches_of_one_process(dataset: PictureDataset, world_size: int) -> None:
    whole = _indices(_training(dataset, per_process=4).batches(0))
    shares = [
        _indices(_training(dataset, per_process=4 // world_size, world=World(rank, world_size)).batches(0))
        for rank in range(world_size)
    ]
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole


def test_batches_of_both_orientations_have_the_canvas_turned(dataset: PictureDataset) -> None:
    canvases = {batch.images.canvas for batch in _training(dataset).batches(0)}
    assert canvases == {Size(64, 96), Size(96, 64)}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loading_leaves_the_global_generators_as_they_are(dataset: PictureDataset, num_workers: int) -> None:
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    with _training(dataset, num_workers=num_workers) as loader:
        assert len(list(loader.batches(0))) > 0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), repr(np.random.get_state())) == before[1:]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_picture_is_named_without_a_workers_traceback(
    pictures_folder: Path, annotations: CocoAnnotations, num_workers: int
) -> None:
    names = annotations.file_names.tolist()
    names[5] = "gone.png"
    broken = dataclasses.replace(annotations, file_names=np.array(names))
    with _training(_pictures(pictures_folder, broken, *_SCALES), num_workers=num_workers) as loader:
        with pytest.raises(DataError) as caught:
            list(loader.batches(0))
        assert str(caught.value).startswith("picture gone.png is not in ")
        assert "Traceback" not in str(caught.value)


def test_workers_persist_over_epochs_and_end_with_the_loader(dataset: PictureDataset) -> None:
    assert multiprocessing.active_children() == []
    loader = _training(dataset, num_workers=2)
    list(loader.batches(0))
    workers = {process.pid for process in multiprocessing.active_children()}
    assert len(workers) == 2
    list(islice(loader.batches(1), 2))
    assert {process.pid for process in multiprocessing.active_children()} == workers
    loader.close()
    assert multiprocessing.active_children() == []


def test_spawned_workers_make_the_same_batches(dataset: PictureDataset) -> None:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with _training(dataset, num_workers=1) as loader:
            _assert_equal(loader.batches(0), _training(dataset).batches(0))
    finally:
        multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_evaluation_sees_each_picture_once_on_the_canvas_it_would_have_alone(
    plain_dataset: PictureDataset, batch_size: int
) -> None:
    loader = _evaluation(plain_dataset, batch_size=batch_size)
    seen = {}
    for batch in loader.batches():
        for row, record in enumerate(batch.records):
            assert record.index not in seen
            seen[record.index] = batch.images.pixels[row]
    assert len(seen) == len(loader) == len(plain_dataset)
    for batch in _evaluation(plain_dataset, batch_size=1).batches():
        assert torch.equal(batch.images.pixels[0], seen[batch.records[0].index])


def test_evaluation_does_not_depend_on_the_number_of_workers_and_can_be_repeated(
    plain_dataset: PictureDataset,
) -> None:
    with _evaluation(plain_dataset, batch_size=3, num_workers=2) as loader:
        for _ in range(2):
            _assert_equal(loader.batches(), _evaluation(plain_dataset, batch_size=3).batches())


@pytest.mark.parametrize("world_size", [2, 3, 5, 64])
def test_processes_share_whole_evaluation_batches_out(plain_dataset: PictureDataset, world_size: int) -> None:
    # 7 landscape pictures, 3 portraits and a square: 3 + 1 + 1 batches, so that most shares are unequal
    whole = _indices(_evaluation(plain_dataset, batch_size=3).batches())
    assert len(whole) == 5
    loaders = [
        _evaluation(plain_dataset, batch_size=3, world=World(rank, world_size)) for rank in range(world_size)
    ]
    shares = [_indices(loader.batches()) for loader in loaders]
    assert sorted(chain(*shares)) == sorted(whole)
    assert {loader.num_rounds for loader in loaders} == {max(len(share) for share in shares)}
    assert {len(loader) for loader in loaders} == {len(plain_dataset)}
    assert len(shares[0]) - len(shares[-1]) in (0, 1)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_a_step_counts_the_pictures_of_all_processes(dataset: PictureDataset, world_size: int) -> None:
    loader = _training(dataset, per_process=4 // world_size, world=World(0, world_size))
    assert loader.num_images_per_step == 4


def test_with_step_canvases_all_processes_have_one_scale_and_one_canvas_a_step(
    dataset: PictureDataset,
) -> None:
    worlds = [World(rank, 2) for rank in range(2)]
    loaders = [_training(dataset, world=world, padding=_CANVASES) for world in worlds]
    scales_seen, canvases_seen = set(), set()
    for epoch in range(4):
        for batches in zip(*(loader.batches(epoch) for loader in loaders), strict=True):
            canvases = {batch.images.canvas for batch in batches}
            placed = [record.placement.resized for batch in batches for record in batch.records]
            originals = [record.original for batch in batches for record in batch.records]
            fitting = [
                scale
                for scale in _SCALES
                if all(
                    dataset.augmentation.placed_size(o, scale) == p
                    for o, p in zip(originals, placed, strict=True)
                )
            ]
            assert len(canvases) == 1
            assert len(fitting) >= 1
            scales_seen.update(fitting)
            canvases_seen |= canvases
    assert scales_seen == set(_SCALES)
    assert canvases_seen == {Size(64, 64), Size(64, 96), Size(96, 64)}


def test_with_step_canvases_a_resumed_epoch_has_the_batches_of_an_uninterrupted_one(
    dataset: PictureDataset,
) -> None:
    uninterrupted = list(_training(dataset, padding=_CANVASES).batches(1))
    _assert_equal(_training(dataset, padding=_CANVASES).batches(1, first_step=2), iter(uninterrupted[2:]))


def test_pictures_that_do_not_fit_their_canvas_are_named(dataset: PictureDataset) -> None:
    with pytest.raises(DataError, match=r"does not fit the canvas of .* The pictures: \d+\.png, \d+\.png\."):
        list(_training(dataset, padding=FixedCanvas(long=64, short=32)).batches(0))


def test_useful_pixels_are_told_by_the_file(plain_dataset: PictureDataset) -> None:
    with _evaluation(plain_dataset, batch_size=2) as loader:
        batches = list(loader.batches())
        shares = loader.useful_shares()
    assert len(shares) == len(plain_dataset)
    for batch in batches:
        for record in batch.records:
            placed = record.placement.placed.num_pixels
            assert shares[record.file_name] == placed / batch.images.canvas.num_pixels
