"""A data set that is opened in tiles."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.build.loaders import build_evaluation_loader, build_training_loader
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part, open_training_data
from hrdet_cli.runs.inspect_batch.pictured_batch import picture_batch
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

CPU = torch.device("cpu")
TILES = "data.tiles={side_pixels: 64, overlap_pixels: 16}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture of 160x64 pixels with an object of 20 at its left end, and one of 60 in its middle."""
    Image.fromarray(np.zeros((64, 160, 3), dtype=np.uint8)).save(tmp_path / "0.png")
    boxes = [[4, 10, 20, 20], [50, 2, 60, 60]]
    content = {
        "images": [{"id": 7, "file_name": "0.png", "height": 64, "width": 160}],
        "annotations": [
            {"id": number, "image_id": 7, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
            for number, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def spec_of(folder: Path, *settings: str) -> ExperimentSpec:
    parts = [f"data.{part}={{annotations: instances.json, images: .}}" for part in ("train", "val")]
    own = (f"data.root={folder}", "data.demo=null", "data.num_workers=0", *parts)
    return load_spec(preset="demo", settings=[*own, *settings]).spec


def test_training_takes_tiles_for_pictures_and_says_what_is_whole_in_none(folder: Path) -> None:
    # Tiles begin at columns 0, 48 and 96, and the second has all of the large object. With tiles of 48 none
    # has: at best they show 48 of 60 columns and 46 of 60 rows, which is less than 0.7.
    spec = spec_of(folder, TILES)
    data = open_training_data(spec.data)
    assert len(data.train.annotations) == 3
    assert data.train.annotations.num_boxes.tolist() == [1, 1, 0]
    assert data.val is not None
    assert len(data.val.annotations) == 1
    (notice,) = data.notices
    assert notice.endswith("instances.json: 1 picture in 3 tiles, which count as pictures")
    with build_training_loader(spec, data.train, CPU) as loader:
        (batch,) = loader.batches(0)
    assert sorted(record.window.left for record in batch.records if record.window) == [0, 48]
    _, warning = open_part(
        spec_of(folder, TILES.replace("64", "48").replace("16", "20")).data, "train"
    ).notices
    assert "50.0% of the objects are whole in no tile, and 50.0% too little of them in any" in warning


def test_label_maps_are_cut_with_the_tiles_of_each_data_set(folder: Path) -> None:
    labels = np.add.outer(np.arange(64), np.arange(160)).astype(np.uint8) % 100
    for name, shift in (("maps", 0), ("others", 50)):
        (folder / name).mkdir()
        Image.fromarray((labels + shift) % 100).save(folder / name / "0.png")
    one = "annotations: instances.json, images: ., label_maps: "
    spec = spec_of(
        folder,
        TILES,
        "data.val=null",
        f"data.train=[{{{one}maps}}, {{{one}others}}]",
        "data.keep_pictures_without_boxes=true",
        "data.batch_size_per_process=6",
        "model.head.kind=cascade_rcnn",
        "model.head.semantic={num_labels: 100}",
        "augmentation.scales_pixels=[[64, 64]]",
        "augmentation.flip_probability=0",
    )
    part = open_part(spec.data, "train", DataNeeds.of(spec.model.head))
    cut = "instances.json and 1 more data set: 2 pictures in 6 tiles, which count as pictures"
    assert any(notice.endswith(cut) for notice in part.notices)
    with build_training_loader(spec, part, CPU) as loader:
        (batch,) = loader.batches(0)
    assert batch.targets.semantic is not None
    seen = set()
    for semantic, record in zip(batch.targets.semantic, batch.records, strict=True):
        assert record.window is not None
        left, shift = record.window.left, 50 * record.file_name.startswith("2:")
        expected = (labels[:64:8, left : left + 64 : 8] + shift) % 100
        np.testing.assert_array_equal(semantic[:8, :8].numpy(), expected)
        seen.add((shift, left))
    assert seen == {(shift, left) for shift in (0, 50) for left in (0, 48, 96)}


def test_a_data_set_of_small_pictures_is_told_that_none_is_cut(folder: Path) -> None:
    (notice,) = open_part(
        spec_of(folder, "data.tiles={side_pixels: 160, overlap_pixels: 16}").data, "train"
    ).notices
    assert notice.endswith("no picture is larger than data.tiles.side_pixels, so none is cut")


def test_an_inspection_says_where_each_tile_lies_and_how_it_was_turned(folder: Path, tmp_path: Path) -> None:
    upside_down = "augmentation.extras.vertical_flip_probability=1"
    spec = spec_of(folder, TILES, upside_down, "augmentation.flip_probability=0")
    part = open_part(spec.data, "train")
    with build_training_loader(spec, part, CPU) as loader:
        (batch,) = loader.batches(0)
    pictures = picture_batch(batch, part.annotations.class_names, tmp_path / "batch.png").pictures
    assert {picture["turned"] for picture in pictures} == {"flipped upside down"}
    tiles = sorted((picture["tile"] for picture in pictures), key=lambda tile: tile["left"])
    assert tiles == [{"left": left, "top": 0, "of": "160x64"} for left in (0, 48)]


def test_an_evaluation_sees_each_tile_in_each_way_with_the_id_of_its_picture(folder: Path) -> None:
    spec = spec_of(folder, TILES, "evaluation.test_time_augmentation={}")
    with build_evaluation_loader(spec, open_part(spec.data, "val"), CPU) as loader:
        records = [record for batch in loader.batches() for record in batch.records]
    assert {record.image_id for record in records} == {7}
    seen = [(record.window.left, record.placement.flipped) for record in records if record.window]
    assert seen == [(left, flipped) for left in (0, 48, 96) for flipped in (False, True)]


def test_tiles_that_are_nothing_but_overlap_are_an_error(folder: Path) -> None:
    with pytest.raises(SpecError, match="200 is not less than side_pixels 128; lower it"):
        spec_of(folder, "data.tiles={side_pixels: 128}")
