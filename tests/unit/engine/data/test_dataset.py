import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.augmentations import Augmentation, ResizeAugmentation, ResizeCropAugmentation
from hrdet_cli.engine.data.batch import Sample
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.keys import picture_key
from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.engine.data.padding import FixedCanvas
from hrdet_cli.engine.data.pixel_changes import Noise, PixelChange
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError

_AS_IT_IS = ResizeAugmentation(scales=(Scale(60, 40),), mode="choice", flip_probability=0)
_FLIPPED_TWICE_AS_LARGE = ResizeAugmentation(scales=(Scale(120, 80),), mode="choice", flip_probability=1)
_CROPPED = ResizeCropAugmentation(scales=(Scale(120, 80),), crop=Scale(50, 40), flip_probability=0.5)


def _dataset(
    folder: Path, annotations: CocoAnnotations, augmentation: Augmentation, seed: int = 0
) -> PictureDataset:
    return PictureDataset(
        annotations=annotations,
        images=open_images(folder),
        augmentation=augmentation,
        seed=seed,
        with_masks=annotations.segmentations is not None,
    )


def test_a_sample_has_the_pictures_pixels_boxes_and_origin(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    sample = _dataset(pictures_folder, annotations, _AS_IT_IS).sample(0, Showing(3))
    expected = torch.from_numpy(np.array(Image.open(pictures_folder / "3.png"))).permute(2, 0, 1)
    assert torch.equal(sample.pixels, expected)
    assert sample.boxes.tolist() == annotations.targets_of(3)[0].tolist()
    assert sample.labels.tolist() == [0, 0, 0]
    assert sample.key == picture_key(seed=0, epoch=0, index=3)
    record = sample.record
    assert (record.index, record.image_id, record.file_name, record.original) == (
        3,
        103,
        "3.png",
        Size(40, 60),
    )


def test_crowd_regions_move_with_the_picture_and_are_no_targets(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    sample = _dataset(pictures_folder, annotations, _FLIPPED_TWICE_AS_LARGE).sample(0, Showing(0))
    assert sample.boxes.shape == (0, 4)
    assert sample.record.ignored_boxes.tolist() == [[0, 0, 120, 80], [0, 60, 20, 80]]


def test_a_crop_shows_its_part_of_crowd_regions(pictures_folder: Path, annotations: CocoAnnotations) -> None:
    dataset = _dataset(pictures_folder, annotations, _CROPPED)
    shown = [dataset.sample(epoch, Showing(0)).record.ignored_boxes for epoch in range(40)]
    assert all(
        boxes[0].tolist() == [0, 0, 50, 40] for boxes in shown
    )  # it covers the picture, its centre need not show
    assert {len(boxes) for boxes in shown} == {1, 2}
    assert all((boxes[:, 2:] > boxes[:, :2]).all() for boxes in shown)


def test_a_cropped_sample_keeps_a_box_and_fits_its_pixels(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    dataset = _dataset(pictures_folder, annotations, _CROPPED)
    for index in range(1, len(dataset)):
        sample = dataset.sample(2, Showing(index))
        placed = sample.record.placement.placed
        assert sample.pixels.shape == (3, placed.height, placed.width)
        assert len(sample.boxes) == len(sample.labels) >= 1


def test_a_sample_is_a_function_of_seed_epoch_and_index(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    sample = _dataset(pictures_folder, annotations, _CROPPED, seed=1).sample(4, Showing(5))
    dataset = _dataset(pictures_folder, annotations, _CROPPED, seed=1)
    dataset.sample(0, Showing(0))
    again = dataset.sample(4, Showing(5))
    assert torch.equal(sample.pixels, again.pixels)
    assert sample.record.placement == again.record.placement == dataset.placement_of(4, Showing(5))
    others = [dataset.placement_of(epoch, Showing(5)) for epoch in range(10)]
    assert len({str(placement) for placement in others}) > 3


def test_a_picture_that_is_missing_or_of_another_size_is_named(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    elsewhere = dataclasses.replace(annotations, file_names=np.array(["gone.png"] * len(annotations)))
    with pytest.raises(DataError, match=r"picture gone\.png is not in"):
        _dataset(pictures_folder, elsewhere, _AS_IT_IS).sample(0, Showing(0))
    larger = dataclasses.replace(annotations, sizes=annotations.sizes + 1)
    with pytest.raises(DataError, match=r"picture 2\.png is 60x40 but its annotations say 61x41"):
        _dataset(pictures_folder, larger, _AS_IT_IS).sample(0, Showing(2))


@pytest.mark.parametrize(
    ("augmentation", "policy"),
    [
        (
            ResizeAugmentation(
                scales=(Scale(1600, 1000), Scale(1000, 600)), mode="range", flip_probability=0.5
            ),
            FixedCanvas(long=1600, short=1024),
        ),
        (
            ResizeCropAugmentation(
                scales=(Scale(1400, 600), Scale(1400, 1000)), crop=Scale(1200, 800), flip_probability=0.5
            ),
            FixedCanvas(long=1216, short=800),
        ),
    ],
)
def test_real_pictures_fit_the_canvas_of_their_recipe(
    shared_data: Path, augmentation: Augmentation, policy: FixedCanvas
) -> None:
    annotations = load_coco(shared_data / "coco_pico" / "instances_train.json")
    dataset = _dataset(shared_data / "coco_pico" / "images", annotations, augmentation)
    for index in range(0, len(dataset), 4):
        sample = dataset.sample(0, Showing(index))
        batch = pad_pictures([sample], policy.canvas_for([sample.record.placement.placed]))
        height, width = batch.images.sizes[0].tolist()
        boxes = batch.targets.boxes[batch.targets.is_valid]
        assert len(boxes) > 0 or annotations.num_boxes[index] == 0
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()


@pytest.mark.parametrize("augmentation", [_AS_IT_IS, _FLIPPED_TWICE_AS_LARGE, _CROPPED])
def test_masks_go_where_their_boxes_go_and_change_nothing_else(
    pictures_folder: Path,
    annotations: CocoAnnotations,
    outlined_annotations: CocoAnnotations,
    augmentation: Augmentation,
) -> None:
    num_cut = 0
    for epoch, index in itertools.product(range(3), range(len(annotations))):
        plain = _dataset(pictures_folder, annotations, augmentation).sample(epoch, Showing(index))
        sample = _dataset(pictures_folder, outlined_annotations, augmentation).sample(epoch, Showing(index))
        assert torch.equal(sample.pixels, plain.pixels)
        assert torch.equal(sample.boxes, plain.boxes)
        assert torch.equal(sample.labels, plain.labels)
        assert (plain.masks, sample.record.placement) == (None, plain.record.placement)
        masks = sample.masks
        assert masks is not None
        assert (masks.shape, masks.dtype) == ((len(sample.boxes), FRAME_CELLS, FRAME_CELLS), torch.uint8)
        left, right = (half.float().mean(dim=(1, 2)) for half in masks.chunk(2, dim=2))
        is_whole = (left + right - 1).abs() < 0.15  # of a half: pixels are large beside the frame's cells
        num_cut += int((~is_whole).sum())
        more, less = (right, left) if sample.record.placement.flipped else (left, right)
        assert (more[is_whole] > less[is_whole] + 0.3).all()
    assert (num_cut > 0) == (augmentation is _CROPPED)


def test_where_broken_pictures_are_skipped_objects_of_another_one_are_pasted(
    pictures_folder: Path, outlined_annotations: CocoAnnotations
) -> None:
    names = ["0.png", "1.png", *["gone.png"] * (len(outlined_annotations) - 2)]

    def sample(epoch: int, *, skips_broken: bool) -> Sample:
        return PictureDataset(
            annotations=dataclasses.replace(outlined_annotations, file_names=np.array(names)),
            images=open_images(pictures_folder),
            augmentation=_AS_IT_IS,
            seed=0,
            with_masks=True,
            paste_probability=1,
            skips_broken=skips_broken,
        ).sample(epoch, Showing(0))

    with pytest.raises(DataError, match=r"gone\.png"):
        [sample(epoch, skips_broken=False) for epoch in range(4)]
    for epoch in range(4):
        pasted = sample(epoch, skips_broken=True)  # of the only picture with objects that is there
        assert pasted.record.file_name == "0.png"
        assert pasted.record.changes[0].split(" of ")[1].startswith("1 objects pasted")
    names[1] = "gone.png"
    with pytest.raises(DataError, match=r"gone\.png"):
        sample(0, skips_broken=True)


def test_without_an_object_nothing_is_pasted(
    pictures_folder: Path, outlined_annotations: CocoAnnotations
) -> None:
    of_crowds = np.ones_like(outlined_annotations.is_crowd)
    dataset = PictureDataset(
        annotations=dataclasses.replace(outlined_annotations, is_crowd=of_crowds),
        images=open_images(pictures_folder),
        augmentation=_AS_IT_IS,
        seed=0,
        with_masks=True,
        paste_probability=1,
    )
    assert dataset.sample(0, Showing(0)).record.changes == ()


def test_masks_of_annotations_without_segmentations_cannot_be_asked_for(
    pictures_folder: Path, annotations: CocoAnnotations
) -> None:
    dataset = PictureDataset(
        annotations=annotations,
        images=open_images(pictures_folder),
        augmentation=_AS_IT_IS,
        seed=0,
        with_masks=True,
    )
    with pytest.raises(ValueError, match=r"annotations\.json was loaded without segmentations"):
        dataset.sample(0, Showing(3))


def test_what_is_done_besides_placing_is_drawn_by_the_key_and_moves_no_picture(
    pictures_folder: Path, outlined_annotations: CocoAnnotations
) -> None:
    annotations = outlined_annotations
    jitter = ScaleJitterAugmentation(edge=64, factors=(0.5, 2.0), flip_probability=0.5)

    def dataset(changes: Sequence[PixelChange], paste_probability: float) -> PictureDataset:
        return PictureDataset(
            annotations=annotations,
            images=open_images(pictures_folder),
            augmentation=jitter,
            seed=3,
            with_masks=True,
            pixel_changes=changes,
            paste_probability=paste_probability,
        )

    noise = Noise(probability=0.5, deviation=(20, 20))
    plain, noisy, pasting = dataset([], 0), dataset([noise], 0), dataset([noise], 0.5)
    num_noisy = num_pasted = 0
    for index in range(len(annotations)):
        before, changed = plain.sample(1, Showing(index)), noisy.sample(1, Showing(index))
        assert changed.record.placement == before.record.placement
        assert torch.equal(changed.boxes, before.boxes)
        assert torch.equal(changed.pixels, before.pixels) == (changed.record.changes == ())
        num_noisy += len(changed.record.changes)
        pasted = pasting.sample(1, Showing(index))
        room = torch.empty(3 * 64 * 64, dtype=torch.uint8)
        again = dataset([noise], 0.5).sample(1, Showing(index), room=room)
        assert again.pixels.data_ptr() == room.data_ptr()
        assert pasted.record.placement == before.record.placement
        assert pasted.record.changes == again.record.changes
        assert torch.equal(pasted.pixels, again.pixels)
        assert torch.equal(pasted.boxes, again.boxes)
        assert pasted.masks is not None
        assert len(pasted.masks) == len(pasted.boxes) == len(pasted.labels)
        num_pasted += any("pasted" in words for words in pasted.record.changes)
    assert 0 < num_noisy < len(annotations)
    assert 0 < num_pasted < len(annotations)
