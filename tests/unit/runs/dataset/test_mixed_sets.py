"""Training on data sets of several formats at once: COCO's JSON, YOLO's and Pascal VOC's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.errors import DataError
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import DataNeeds, open_training_data
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

_BOXES = {"ox": (4, 6, 40, 30), "ant": (50, 10, 20, 44)}  # x, y, width, height of each picture's objects
_GREYS = {"coco": 40, "yolo": 120, "voc": 200}


def _save(folder: Path, grey: int) -> None:
    folder.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.full((64, 96, 3), grey, dtype=np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three data sets of two pictures each with the same boxes, their classes in three orders."""
    _save(tmp_path / "coco", _GREYS["coco"])
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 64, "width": 96} for n in range(2)],
        "annotations": [
            {
                "id": 2 * n + k,
                "image_id": n,
                "category_id": 7 + k,
                "bbox": box,
                "segmentation": [_corners(box)],
            }
            for n in range(2)
            for k, box in enumerate(_BOXES.values())
        ],
        "categories": [{"id": 7, "name": "ox"}, {"id": 8, "name": "ant"}, {"id": 1, "name": "bee"}],
    }
    (tmp_path / "coco" / "all.json").write_text(json.dumps(content))
    for split in ("train", "val"):
        _save(tmp_path / "yolo" / "images" / split, _GREYS["yolo"])
        (tmp_path / "yolo" / "labels" / split).mkdir(parents=True)
        lines = [
            f"{label} {(x + w / 2) / 96} {(y + h / 2) / 64} {w / 96} {h / 64}"
            for label, (x, y, w, h) in ((2, _BOXES["ox"]), (1, _BOXES["ant"]))
        ]
        for number in range(2):
            (tmp_path / "yolo" / "labels" / split / f"{number}.txt").write_text("\n".join(lines))
    (tmp_path / "yolo" / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [bee, ant, ox]\n"
    )
    _save(tmp_path / "voc" / "JPEGImages", _GREYS["voc"])
    (tmp_path / "voc" / "Annotations").mkdir()
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax>"
        f"<ymax>{y + h}</ymax></bndbox></object>"
        for name, (x, y, w, h) in _BOXES.items()
    )
    size = "<size><width>96</width><height>64</height></size>"
    for number in range(2):
        document = f"<annotation>{size}{objects}</annotation>"
        (tmp_path / "voc" / "Annotations" / f"{number}.xml").write_text(document)
    (tmp_path / "voc" / "classes.txt").write_text("ant\nbee\nox\n")
    return tmp_path


def _corners(box: tuple[int, int, int, int]) -> list[int]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _spec(root: Path, *settings: str) -> ExperimentSpec:
    sets = "[{annotations: coco/all.json, images: coco}, {annotations: yolo}, {annotations: voc}]"
    own = (
        "data.demo=null",
        f"data.root={root}",
        f"data.train={sets}",
        "data.val={annotations: yolo, images: null}",
    )
    loading = ("data.num_workers=0", "data.batch_size_per_process=6", "augmentation.flip_probability=0")
    canvas = ("augmentation.scales_pixels=[[96, 64]]", "padding={policy: batch}")
    return load_spec(preset="demo", settings=[*own, *loading, *canvas, *settings]).spec


def test_a_batch_has_the_same_objects_of_each_format(root: Path) -> None:
    spec = _spec(root)
    data = open_training_data(spec.data)
    assert data.train.annotations.class_names == ("ox", "ant", "bee")
    assert data.train.annotations.category_ids == (7, 8, 1)
    with build_training_loader(spec, data.train, torch.device("cpu")) as loader:
        (batch,) = loader.batches(0)
    expected = {label: [x, y, x + w, y + h] for label, (x, y, w, h) in enumerate(_BOXES.values())}
    greys = []
    for number in range(len(batch)):
        greys.append(int(batch.images.pixels[number, 0, 5, 5]))
        rows = batch.targets.is_valid[number]
        boxes, labels = batch.targets.boxes[number][rows], batch.targets.labels[number][rows]
        assert {int(label): box.tolist() for label, box in zip(labels, boxes, strict=True)} == expected
    assert sorted(greys) == [40, 40, 120, 120, 200, 200]


def test_yolos_validation_pictures_are_scored_by_the_names_of_the_classes(root: Path) -> None:
    val = open_training_data(_spec(root).data, is_scored=True).val
    assert val is not None
    assert val.annotations.class_names == ("ox", "ant", "bee")
    assert val.annotations.category_ids == (3, 2, 1), "its own, which the results file has"
    assert val.annotations.targets_of(0)[1].tolist() == [0, 1]
    truth = val.annotations.truth
    assert truth is not None
    assert truth.labels.tolist() == [0, 1, 0, 1]


def test_some_classes_of_all_formats_are_trained_on(root: Path) -> None:
    data = open_training_data(_spec(root, "data.classes=[ant]").data)
    assert data.train.annotations.class_names == ("ant",)
    assert data.train.annotations.num_boxes.tolist() == [1] * 6
    assert data.train.annotations.boxes.tolist() == [[50, 10, 70, 54]] * 6


def test_a_head_with_masks_needs_them_of_each_format(root: Path) -> None:
    with pytest.raises(DataError, match=r"yolo.*none of its 4 annotations has a segmentation"):
        open_training_data(_spec(root).data, DataNeeds(with_masks=True))
    for number in range(2):
        x, y, w, h = _BOXES["ox"]
        outline = [(x, y), (x + w, y), (x, y + h)]
        line = " ".join(f"{column / 96} {row / 64}" for column, row in outline)
        (root / "yolo" / "labels" / "train" / f"{number}.txt").write_text(f"2 {line}")
    both = _spec(root, "data.train.2={annotations: yolo/data.yaml, split: train}", "data.val=null")
    opened = open_training_data(both.data, DataNeeds(with_masks=True)).train.annotations
    assert opened.num_boxes.tolist() == [2, 2, 1, 1, 1, 1]
    assert opened.segmentations is not None
