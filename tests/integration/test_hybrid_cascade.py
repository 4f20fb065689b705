"""Hybrid Task Cascade, with everything it has, through the commands."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.engine.data.label_maps import map_name
from hrdet_cli.engine.data.synthetic import make_demo_data
from tests.integration.conftest import (
    NUM_TRAIN_PICTURES,
    ONE_EPOCH,
    Hrdet,
    metric_lines,
    some_pictures,
    tiny_options,
)

HYBRID = (
    "model.head.kind=cascade_rcnn",
    "model.head.rpn={anchor_scale: 6, num_train_proposals: 50, num_test_proposals: 20}",
    "model.head.roi_head={num_samples: 16, hidden_features: 32, pool_cells: 3, score_threshold: 0.001}",
    "model.head.roi_head.max_detections=10",
    "model.head.mask={flow: true, interleaved: true, num_convs: 1, channels: 16, pool_cells: 4}",
    "model.head.semantic={num_labels: 7, num_convs: 1, pool_cells: 6}",
    "norm.statistics=valid",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The tiny experiment's data, with a map of what is in and around each training picture's boxes."""
    folder = tmp_path / "data"
    make_demo_data(folder, seed=1, num_train_images=NUM_TRAIN_PICTURES, num_val_images=6)
    document = json.loads((folder / "train.json").read_text())
    order = [category["id"] for category in document["categories"]]
    for image in document["images"]:
        labels = np.full((image["height"], image["width"]), 6, dtype=np.uint8)
        labels[::10] = 255
        for item in document["annotations"]:
            if item["image_id"] == image["id"]:
                x, y, width, height = map(round, item["bbox"])
                labels[y : y + height, x : x + width] = order.index(item["category_id"])
        file = folder / "maps" / map_name(image["file_name"])
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(file)
    return folder


def test_a_hybrid_cascade_learns_boxes_masks_and_label_maps(hrdet: Hrdet, data: Path, tmp_path: Path) -> None:
    run, sheets = tmp_path / "run", tmp_path / "predictions"
    options = tiny_options(data, *HYBRID, *ONE_EPOCH)
    refused = hrdet("train", *options, "--run-dir", run)
    assert refused.exit_code == 2
    assert "data.train.label_maps: is needed by model.head.semantic" in refused.stderr

    trained = hrdet("train", *options, "--set", "data.train.label_maps=maps", "--run-dir", run)
    assert trained.exit_code == 0, trained.stderr
    losses = [line["losses"] for line in metric_lines(run) if "losses" in line]
    stages = [f"roi_{part}_{number}" for number in (1, 2, 3) for part in ("class", "box", "mask")]
    assert list(losses[0]) == ["rpn_objectness", "rpn_box", "semantic", *stages]
    assert losses[-1]["semantic"] < losses[0]["semantic"]

    outcome = hrdet("eval", run)
    assert outcome.exit_code == 0, outcome.stderr
    metrics = json.loads((run / "eval-best" / "metrics.json").read_text())
    assert metrics["mask"]["AR100"] is not None
    pictures = some_pictures(data, tmp_path / "pictures")
    outcome = hrdet("predict", run, pictures, "--out", sheets, "--min-score", "0.02")
    assert outcome.exit_code == 0, outcome.stderr
    found = json.loads((sheets / "detections.json").read_text())["annotations"]
    assert found
    assert all(item["segmentation"]["counts"] for item in found)
