"""A run folder as hrdet wrote it at commit 1019c36, with a checkpoint of version 1: made once, by that code.

In a checkout of that commit, with the environment of its development:

    PYTHONPATH=CHECKOUT python tests/integration/of_version_1/make_run.py run.tar.xz

The network is HRNet with channels so few that all of it takes a hundred kilobytes; `tiny_network` puts it
in the place of the small one.  What the archive holds:

    data              six pictures of coloured squares, and their annotations
    run               two epochs of training: spec, record, losses and the last checkpoint
    detections.json   what ``hrdet eval`` found with that checkpoint
    resumed.jsonl     the losses up to the third epoch, to which the same code went on after that
"""

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import hrdet_cli.runs.build.detector
from hrdet_cli.engine.models.backbones.hrnet import HRNetConfig

TINY = HRNetConfig(
    width=1, stem_channels=2, bottleneck_channels=1, num_bottlenecks=1, num_modules=(1, 1, 1), num_blocks=1
)
SETTINGS = (
    "model.neck_channels=4",
    "model.rpn={anchor_scale: 5, num_train_proposals: 40, num_test_proposals: 40}",
    "model.roi_head={num_samples: 16, pool_cells: 2, hidden_features: 8, score_threshold: 0.001}",
    "data={demo: null, root: data, batch_size_per_process: 2, num_workers: 0}",
    "data.train={annotations: train.json, images: images}",
    "data.val={annotations: val.json, images: images}",
    "augmentation.scales_pixels=[[96, 64], [64, 64]]",
    "padding.canvas_pixels=[96, 64]",
    "evaluation={scale_pixels: [96, 64], every_num_epochs: 1}",
    "optimisation={num_epochs: 2, drop_epochs: [1], warmup_steps: 2, ema: {decay: 0.9}}",
    "run.device=cpu",
)
RESUME = ("optimisation.num_epochs=3",)
_KEPT = ("spec.yaml", "run.json", "metrics.jsonl", "checkpoints/last.pt")


def tiny_network() -> AbstractContextManager[Any]:
    """While this context lasts, the small HRNet is the tiny one."""
    return patch.object(hrdet_cli.runs.build.detector, "HRNET_CONFIGS", {"small": TINY})


def run_hrdet(*words: str) -> str:
    """Run a command in this process; returns what it printed."""
    from hrdet_cli.cli.app import main

    with patch.object(sys, "argv", ["hrdet", *words]), patch("sys.stdout", io.StringIO()) as printed:
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise
    return printed.getvalue()


def settings(values: Sequence[str]) -> list[str]:
    """Each as ``--set VALUE``."""
    return [word for value in values for word in ("--set", value)]


def _draw_data(folder: Path) -> None:
    """Pictures with a square each; its class is its colour."""
    (folder / "images").mkdir(parents=True)
    colours = ((220, 40, 40), (40, 40, 220))
    documents = {}
    for part, indices in (("train", range(4)), ("val", range(4, 6))):
        images, annotations = [], []
        for index in indices:
            left, top, side, label = 8 + 9 * index, 6 + 5 * index, 20 + 2 * index, index % 2
            pixels = np.full((64, 96, 3), 128, dtype=np.uint8)
            pixels[top : top + side, left : left + side] = colours[label]
            Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
            images.append({"id": index, "file_name": f"{index}.png", "width": 96, "height": 64})
            box = {"bbox": [left, top, side, side], "area": side * side, "iscrowd": 0}
            annotations.append({"id": index + 1, "image_id": index, "category_id": label + 1, **box})
        categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
        documents[part] = {"images": images, "annotations": annotations, "categories": categories}
    for part, document in documents.items():
        (folder / f"{part}.json").write_text(json.dumps(document))


def _make(folder: Path) -> None:
    _draw_data(folder / "data")
    with tiny_network():
        run_hrdet("train", "--preset", "demo", *settings(SETTINGS), "--run-dir", "whole")
        for name in _KEPT:
            (folder / "run" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "whole" / name, folder / "run" / name)
        run_hrdet("eval", "run/checkpoints/last.pt", "--out", "evaluation")
        run_hrdet("train", "--resume", "--run-dir", "whole", *settings(RESUME))
    (folder / "evaluation" / "detections.json").replace(folder / "detections.json")
    (folder / "whole" / "metrics.jsonl").replace(folder / "resumed.jsonl")


def main() -> None:
    """Write the archive whose name is the only argument."""
    archive = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        _make(Path(name))
        with tarfile.open(archive, "w:xz") as tar:
            for part in ("data", "run", "detections.json", "resumed.jsonl"):
                tar.add(part)


if __name__ == "__main__":
    main()
