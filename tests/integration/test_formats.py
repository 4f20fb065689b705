"""The commands take YOLO and VOC data sets as they take COCO's JSON, and convert between them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.conftest import Hrdet


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """``train.json`` and ``val.json`` of two pictures each, of 60x40 and each of its own grey."""
    (tmp_path / "images").mkdir()
    for part, grey in (("train", 0), ("val", 100)):
        names = [f"{part}-{number}.png" for number in (1, 2)]
        for number, name in enumerate(names):
            pixels = np.full((40, 60, 3), grey + number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name)
        images = [
            {"id": number, "file_name": name, "width": 60, "height": 40}
            for number, name in enumerate(names, start=1)
        ]
        annotations = [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [5, 6, 20, 10], "iscrowd": 0}
            for number in (1, 2)
        ]
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "cell"}],
        }
        (tmp_path / f"{part}.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_a_converted_data_set_is_trained_and_evaluated_on(coco: Path, hrdet: Hrdet, to: str) -> None:
    images, out = coco / "images", coco / "out"
    both = (coco / "train.json", out, "--to", to, "--images", images, "--val", coco / "val.json")
    done = hrdet("convert", *both)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "train: 2 pictures, 2 objects\nval: 2 pictures, 2 objects\nnothing lost\n" in done.stdout
    again = hrdet("convert", *both)
    assert (again.exit_code, "exists already" in again.stderr) == (5, True)
    source = out / "data.yaml" if to == "yolo" else out
    assert f"train on it with: --train-data {source}" in done.stdout.replace("\n", "")
    plan = hrdet("train", "--preset", "demo", "--train-data", source, "--dry-run", "--json")
    counts = json.loads(plan.stdout)["plan"]
    assert (counts["train"]["num_boxes"], counts["val"]["num_boxes"]) == (2, 2)
    assert counts["val"]["annotations"] == f"{source} (val)"
    checked = hrdet("check-data", source)
    assert (checked.exit_code, "nothing wrong" in checked.stdout) == (0, True)


def test_a_faulty_line_is_told_by_commands_and_mended_into_cocos_json(coco: Path, hrdet: Hrdet) -> None:
    out = coco / "out"
    hrdet("convert", coco / "train.json", out, "--to", "yolo", "--images", coco / "images")
    with (out / "labels" / "train" / "train-1.txt").open("a") as file:
        file.write("0 30 20 5 5\n")
    line = "labels/train/train-1.txt: line 2: 30 is not from 0 to 1"
    source = out / "data.yaml"
    planned = hrdet("train", "--preset", "demo", "--train-data", source, "--dry-run")
    assert (planned.exit_code, line in planned.stderr) == (3, True)
    checked = hrdet("check-data", source, "--fix-out", coco / "clean.json", "--split", "train")
    assert (checked.exit_code, line in checked.stdout) == (3, True)
    clean = hrdet("check-data", coco / "clean.json", out / "images" / "train")
    assert (clean.exit_code, "nothing wrong" in clean.stdout) == (0, True)
    refused = hrdet("convert", source, coco / "voc", "--to", "voc")
    assert (refused.exit_code, line in refused.stderr) == (3, True)


def test_options_that_contradict_a_format_are_refused(coco: Path, hrdet: Hrdet) -> None:
    convert = ("convert", coco / "train.json", coco / "out", "--to")
    for arguments, message in (
        (("voc",), "name those of train.json with --images"),
        (("coco",), "train.json is COCO's JSON already"),
        (("voc", "--images", coco / "images", "--polygons"), "--polygons is about the lines of YOLO"),
        (
            ("yolo", "--images", coco / "images", "--split", "x"),
            "YOLO's parts are train, val and test, not",
        ),
    ):
        outcome = hrdet(*convert, *arguments)
        assert (outcome.exit_code, message in outcome.stderr) == (2, True)
