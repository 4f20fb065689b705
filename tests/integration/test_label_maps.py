"""Label maps, which HTC learns from: ``check-data`` looks at them, ``inspect-batch`` draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.engine.visualisation.palette import class_colour
from tests.integration.conftest import Hrdet

SIZE = (96, 64)
SETTINGS = (
    "model.head.kind=cascade_rcnn",
    "model.head.semantic={num_labels: 3}",
    "data.train.label_maps=maps",
    "data.val=null",
    "data.demo=null",
    "data.batch_size_per_process=1",
)


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """Six grey pictures with a box each, and their label maps: labels 0 and 2, and a row without."""
    images, annotations = [], []
    (tmp_path / "images").mkdir()
    (tmp_path / "maps").mkdir()
    labels = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    labels[:, 48:], labels[:8] = 2, 255
    for index in range(6):
        Image.new("RGB", SIZE, (128, 128, 128)).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(labels).save(tmp_path / "maps" / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": SIZE[0], "height": SIZE[1]})
        annotations.append({"id": index, "image_id": index, "category_id": 1, "bbox": [30, 20, 40, 30]})
    categories = [{"id": 1, "name": "thing"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "train.json").write_text(json.dumps(content))
    settings = [word for setting in (*SETTINGS, f"data.root={tmp_path}") for word in ("--set", setting)]
    return [
        "--preset",
        "demo",
        "--train-data",
        str(tmp_path / "train.json"),
        str(tmp_path / "images"),
        *settings,
    ]


def test_maps_that_are_in_order_are_told_to_have_been_opened(options: list[str], hrdet: Hrdet) -> None:
    outcome = hrdet("check-data", *options)
    assert outcome.exit_code == 0, outcome.stdout
    assert "maps        label maps; all opened" in outcome.stdout
    without = hrdet("check-data", *options, "--set", "model.head.semantic=null")
    assert without.exit_code == 0
    assert "label maps" not in without.stdout


def test_every_map_that_training_could_not_use_is_named(
    options: list[str], hrdet: Hrdet, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    (maps / "0.png").unlink()
    (maps / "1.png").write_bytes((maps / "1.png").read_bytes()[:60])
    Image.new("L", SIZE[::-1]).save(maps / "2.png")
    Image.new("L", SIZE, 3).save(maps / "3.png")
    Image.new("RGB", SIZE).save(maps / "4.png")
    outcome = hrdet("check-data", *options)
    assert outcome.exit_code == 3
    errors = [line.removeprefix("error: train: ") for line in outcome.stdout.splitlines()[:5]]
    assert [error.removesuffix(" -> mend it by hand") for error in errors] == [
        f"0.png: images[0] (id 0): is not in {maps}",
        "1.png: images[1] (id 1): cannot be decoded. Replace it with a PNG of one label a pixel",
        "4.png: images[4] (id 4): has pixels of mode RGB, not a label of 8 bits each. Save it as a grey PNG, "
        "or with a palette whose indices are the labels",
        "2.png: images[2] (id 2): is 64x96, but its picture 2.png is 96x64, width x height. Label maps must "
        "have the size of their pictures",
        "3.png: images[3] (id 3): has the label 3, but there are 3, counted from 0, and 255 for pixels "
        "without one. Set model.head.semantic.num_labels, or correct the map",
    ]
    counts = json.loads(hrdet("check-data", *options, "--json").stdout)["parts"][0]["counts"]
    assert {item["kind"]: item["count"] for item in counts} == {
        "label map missing": 1,
        "label map unreadable": 2,
        "label map of another size": 1,
        "unknown label": 1,
    }
    unopened = hrdet("check-data", *options, "--no-open")
    assert unopened.stdout.count("error: train:") == 1
    assert "maps        label maps; looked for, none opened" in unopened.stdout


def test_they_are_drawn_below_the_boxes(options: list[str], hrdet: Hrdet, tmp_path: Path) -> None:
    settings = (
        "augmentation.scales_pixels=[[96, 64]]",
        "augmentation.flip_probability=0",
        "padding.policy=batch",
    )
    words = [word for setting in settings for word in ("--set", setting)]
    outcome = hrdet("inspect-batch", *options, *words, "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.stderr
    with Image.open(tmp_path / "out" / "batch-1.png") as sheet:
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 24) or []}
    for label in (0, 2):
        veiled = tuple(round(0.65 * 128 + 0.35 * channel) for channel in class_colour(label))
        assert veiled in colours
    assert (128, 128, 128) in colours
