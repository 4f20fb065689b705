"""Data sets that are opened with masks, as for a head that has them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.coco_reading import NO_MASK
from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.errors import DataError
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part, open_training_data
from hrdet_cli.runs.preflight import LargestBatches
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

_OUTLINE = [[2, 3, 30, 3, 2, 40]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        Image.fromarray(np.full((64, 96, 3), number, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def write(folder: Path, segmentations: list[Any]) -> ExperimentSpec:
    """An experiment whose both parts have a picture for each segmentation."""
    numbers = range(len(segmentations))
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 64, "width": 96} for n in numbers],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "bbox": [2, 3, 28, 37],
                "segmentation": segmentations[n],
            }
            for n in numbers
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    settings = (
        f"data.root={folder}",
        "data.demo=null",
        *(f"data.{part}={{annotations: instances.json, images: .}}" for part in ("train", "val")),
        "data.num_workers=0",
        "data.batch_size_per_process=2",
    )
    return load_spec(preset="demo", settings=settings).spec


def test_both_parts_have_the_chosen_classes_alone(folder: Path) -> None:
    spec = write(folder, [_OUTLINE, _OUTLINE])
    content = json.loads((folder / "instances.json").read_text())
    content["categories"].append({"id": 2, "name": "other"})
    content["annotations"][0]["category_id"] = 2
    (folder / "instances.json").write_text(json.dumps(content))
    data = open_training_data(spec.data.model_copy(update={"classes": ("thing",)}), is_scored=True)
    assert data.val is not None
    for part in (data.train, data.val):
        assert part.annotations.class_names == ("thing",)
        assert part.annotations.num_boxes.tolist() == [0, 1]
    assert data.val.annotations.truth is not None
    assert data.val.annotations.truth.labels.tolist() == [0]


def test_training_batches_have_masks_where_the_data_were_opened_with_them(folder: Path) -> None:
    spec = write(folder, [_OUTLINE, _OUTLINE])
    for with_masks in (True, False):
        part = open_part(spec.data, "train", DataNeeds(with_masks=with_masks))
        (batch,) = build_training_loader(spec, part, torch.device("cpu")).batches(0)
        steps = build_steps(spec, part.annotations, num_processes=1)
        largest = LargestBatches(steps, num_classes=1).make(2)
        for masks in (batch.targets.masks, largest.targets.masks):
            if with_masks:
                assert masks is not None
                assert masks.shape == (2, 8, FRAME_CELLS, FRAME_CELLS)
                assert masks[:, 0].float().mean() == pytest.approx(0.5, abs=0.02)
            else:
                assert masks is None


def test_objects_without_a_mask_are_counted(folder: Path) -> None:
    data = open_training_data(write(folder, [_OUTLINE, []]).data, DataNeeds(with_masks=True))
    assert data.val is not None
    for part in (data.train, data.val):
        assert part.annotations.dropped_boxes == {NO_MASK: 1}
        assert part.annotations.num_boxes.tolist() == [1, 0]


def test_data_without_any_mask_are_refused_with_what_to_do(folder: Path) -> None:
    spec = write(folder, [[], []])
    assert open_part(spec.data, "train").annotations.num_boxes.tolist() == [1, 1]
    with pytest.raises(DataError) as caught:
        open_part(spec.data, "train", DataNeeds(with_masks=True))
    assert str(caught.value) == (
        f"{folder / 'instances.json'}: none of its 2 annotations has a segmentation, which masks are learnt "
        "from and measured with. Take data with segmentations, or a head without masks: "
        "--set model.head.mask=null"
    )


def test_training_batches_have_label_maps_where_the_data_were_opened_with_them(folder: Path) -> None:
    spec = write(folder, [_OUTLINE, _OUTLINE])
    data = spec.data.model_copy(
        update={"train": spec.data.training_sets[0].model_copy(update={"label_maps": Path("maps")})}
    )
    (folder / "maps").mkdir()
    with pytest.raises(DataError) as caught:
        open_training_data(data, DataNeeds(num_labels=5))
    assert str(caught.value) == (
        f"{folder / 'maps'}: 2 of the 2 label maps of the pictures that {folder / 'instances.json'} names "
        f"are missing: 0.png, 1.png. 0.png is not in {folder / 'maps'}. Check data.train.label_maps, or "
        "train without a semantic branch: --set model.head.semantic=null"
    )
    for number in range(2):
        Image.fromarray(np.full((64, 96), number, dtype=np.uint8)).save(folder / "maps" / f"{number}.png")
    opened = open_training_data(data, DataNeeds(num_labels=5))
    assert opened.val is not None
    assert opened.val.label_maps is None
    (batch,) = build_training_loader(spec, opened.train, torch.device("cpu")).batches(0)
    assert batch.targets.semantic is not None
    canvas = batch.images.canvas
    assert batch.targets.semantic.shape == (2, canvas.height // 8, canvas.width // 8)
    for row, record in enumerate(batch.records):
        assert set(batch.targets.semantic[row].flatten().tolist()) == {record.index, 255}
    steps = build_steps(spec, opened.train.annotations, num_processes=1)
    largest = LargestBatches(steps, num_classes=1, label_maps=opened.train.label_maps)
    semantic = largest.make(2).targets.semantic
    assert semantic is not None
    assert semantic.shape == (2, largest.canvas.height // 8, largest.canvas.width // 8)
    assert set(semantic.flatten().tolist()) == set(range(5))
    assert open_training_data(spec.data).train.label_maps is None
