"""Annotations that are not as training takes them: commands say the same, and ``--fix-out`` mends them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.engine.data.coco_reading import load_coco
from tests.integration.conftest import Hrdet

Content = dict[str, Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """``a.json`` over sixty boxes in two pictures of 60x40."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(2):
        name = f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "images" / name)
        images.append({"id": number, "file_name": name, "width": 60, "height": 40})
        for _ in range(30):
            width, height = rng.integers(4, 24, 2).tolist()
            box = [int(rng.integers(0, 60 - width)), int(rng.integers(0, 40 - height)), width, height]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": 1, "bbox": box, "area": width}
            )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path


def _change(data: Path, change: Callable[[Content], object]) -> None:
    content: Content = json.loads((data / "a.json").read_text())
    change(content)
    (data / "a.json").write_text(json.dumps(content))


def _messages(hrdet: Hrdet, data: Path) -> list[str]:
    """What each command that reads annotations says of ``a.json``; all end with 3."""
    pair = (data / "a.json", data / "images")
    experiment = ["--preset", "demo", "--train-data", *map(str, pair), "--val-data", *map(str, pair)]
    outcomes = [
        hrdet("train", *experiment, "--dry-run"),
        hrdet("inspect-batch", *experiment, "--out", data / "inspected"),
        hrdet("benchmark-pad", *experiment),
    ]
    assert [outcome.exit_code for outcome in outcomes] == [3] * 3
    assert not any("Traceback" in outcome.stderr for outcome in outcomes)
    return [outcome.stderr for outcome in outcomes]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"images": "\xf6l"}', "is not in UTF-8, as JSON is: byte 12, in line 1, is 0xf6"),
        (b"0 0.5 0.5 0.1 0.1\n", "is YOLO's labels of one picture, not COCO annotations."),
    ],
)
def test_a_file_that_is_something_else_is_called_that_by_all_commands(
    data: Path, hrdet: Hrdet, raw: bytes, message: str
) -> None:
    (data / "a.json").write_bytes(raw)
    assert all(message in said for said in _messages(hrdet, data))
    checked = hrdet("check-data", data / "a.json", data / "images")
    assert (checked.exit_code, message in checked.stderr) == (3, True)


def _as_corners(content: Content) -> None:
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, x + width, y + height]


def test_boxes_given_as_corners_are_refused_by_all_commands_and_the_command_they_name_converts_them(
    data: Path, hrdet: Hrdet
) -> None:
    right = load_coco(data / "a.json")
    _change(data, _as_corners)
    for said in _messages(hrdet, data):
        assert "they are corners [x1, y1, x2, y2] in pixels (read as COCO's, " in said
        assert f"hrdet check-data {data}/a.json --fix-out {data}/a-xywh.json" in said
    checked = hrdet("check-data", data / "a.json", "--fix-out", data / "a-xywh.json")
    assert checked.exit_code == 3
    assert "error  boxes in another form      1  converted" in checked.stdout
    np.testing.assert_array_equal(load_coco(data / "a-xywh.json").boxes, right.boxes)


def test_a_file_may_say_that_its_boxes_are_right(data: Path, hrdet: Hrdet) -> None:
    _change(data, _as_corners)
    options = ("check-data", data / "a.json", data / "images", "--fix-out", data / "b.json", "--boxes")
    assert hrdet(*options, "xywz").exit_code == 2
    told = hrdet(*options, "xywh")
    assert "boxes as in another form" in told.stdout
    assert "training refuses these data" in told.stdout
    assert hrdet("check-data", data / "b.json", data / "images").exit_code == 0
    assert json.loads((data / "b.json").read_text())["info"] == {"box_format": "xywh"}
    assert hrdet("check-data", data / "b.json", "--boxes", "xywh").exit_code == 0


def test_missing_sizes_and_texts_are_mended_in_one_line_for_each_key(data: Path, hrdet: Hrdet) -> None:
    right = json.loads((data / "a.json").read_text())

    def damage(content: Content) -> None:
        for annotation in content["annotations"]:
            annotation |= {"image_id": str(annotation["image_id"]), "iscrowd": None}
        for image in content["images"]:
            del image["width"], image["height"]

    _change(data, damage)
    refused = hrdet("check-data", data / "a.json", "--fix-out", data / "b.json")
    assert "2 pictures without width or height. Give the pictures too" in refused.stderr
    assert not (data / "b.json").exists()
    mended = hrdet("check-data", data / "a.json", data / "images", "--fix-out", data / "b.json")
    assert mended.stdout.count("image_id '0' stands for the number 0; so in 60 entries") == 1
    assert "0 annotations left out, 2 pictures and 60 annotations changed" in mended.stdout
    written = json.loads((data / "b.json").read_text())
    assert written["images"] == right["images"]
    assert written["annotations"] == [annotation | {"iscrowd": None} for annotation in right["annotations"]]
    assert hrdet("check-data", data / "b.json", data / "images").exit_code == 0


def test_exchanged_sizes_are_one_line_and_exchanged_back(data: Path, hrdet: Hrdet) -> None:
    right = json.loads((data / "a.json").read_text())
    _change(data, lambda content: [image.update(width=40, height=60) for image in content["images"]])
    options = ("check-data", data / "a.json", data / "images")
    checked = hrdet(*options, "--fix-out", data / "b.json")
    assert checked.exit_code == 3
    assert [line for line in checked.stdout.splitlines() if line.startswith("error: ")] == [
        "error: a.json: the entries of all 2 pictures that are not square say the width for the height; "
        "exchanged, all boxes fit -> exchanged back"
    ]
    assert "training ends where it meets such a picture" in checked.stdout
    assert json.loads((data / "b.json").read_text()) == right
    (part,) = json.loads(hrdet(*options, "--json").stdout)["parts"]
    assert part["counts"] == [
        {"kind": "width and height exchanged", "severity": "error", "count": 2, "fix": "exchanged back"}
    ]
    assert [problem["count"] for problem in part["problems"]] == [2]


def test_nothing_is_written_where_no_box_would_be_left(data: Path, hrdet: Hrdet) -> None:
    _change(data, lambda content: [item.update(bbox=[1, 2]) for item in content["annotations"]])
    outcome = hrdet("check-data", data / "a.json", data / "images", "--fix-out", data / "b.json")
    assert outcome.exit_code == 3
    assert "nothing was written, for no annotation would be left. What is wrong: broken annotation (60)" in (
        outcome.stderr
    )
    assert not (data / "b.json").exists()


def test_the_command_that_mends_is_told_where_one_does(data: Path, hrdet: Hrdet) -> None:
    folder = data / "my data"
    folder.mkdir()
    (data / "a.json").rename(folder / "a.json")
    _change(folder, lambda content: content["annotations"][0].update(bbox=None))
    outcome = hrdet("check-data", folder / "a.json")
    assert outcome.stdout.splitlines()[-2:] == [
        f"a copy that training takes: hrdet check-data '{folder}/a.json' --fix-out '{folder}/a-mended.json'",
        "1 error, 0 warnings; training refuses these data",
    ]
    _change(folder, lambda content: content["categories"][0].pop("name"))
    assert "a copy that" not in hrdet("check-data", folder / "a.json").stdout


def test_exchanged_arguments_are_told(data: Path, hrdet: Hrdet) -> None:
    with zipfile.ZipFile(data / "images.zip", "w") as archive:
        archive.write(data / "images" / "0.png", "0.png")
    for images in (data / "images", data / "images.zip"):
        said = f"{images} and {data}/a.json are exchanged: the annotations come first, then the pictures."
        checked = hrdet("check-data", images, data / "a.json")
        planned = hrdet("train", "--preset", "demo", "--train-data", images, data / "a.json", "--dry-run")
        assert [checked.exit_code, planned.exit_code] == [3, 3]
        assert all(said in outcome.stderr for outcome in (checked, planned))


def test_a_category_of_no_object_is_told_before_a_run(data: Path, hrdet: Hrdet) -> None:
    def group(content: Content) -> None:
        content["categories"] = [
            {"id": 0, "name": "cells", "supercategory": "none"},
            {"id": 1, "name": "RBC", "supercategory": "cells"},
        ]

    _change(data, group)
    pair = (data / "a.json", data / "images")
    planned = hrdet("train", "--preset", "demo", "--train-data", *pair, "--val-data", *pair, "--dry-run")
    checked = hrdet("check-data", *pair)
    note = "category 'cells' has no box and is the supercategory of all others, as Roboflow writes it"
    assert (planned.exit_code, checked.exit_code) == (0, 0)
    assert planned.stderr.count(note) == 1
    assert "1 class has no box to train on" not in planned.stdout + planned.stderr
    assert note in checked.stdout
