"""Checkpoints of detectors that nobody trained, for tests of what is done with detectors."""

from collections.abc import Mapping
from pathlib import Path

import torch

from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.layers import mapping_layers
from hrdet_cli.specs.loading import format_spec, load_spec

FINDS_MUCH: Mapping[str, object] = {
    "model.head.roi_head.score_threshold": 0.01,
    "model.head.roi_head.max_detections": 20,
    "evaluation.scale_pixels": [160, 128],
    "data.num_workers": 1,
}
MASKS: Mapping[str, object] = {"model.head.mask": {"pool_cells": 7, "num_convs": 1, "channels": 16}}


def write_untrained(
    path: Path, settings: Mapping[str, object] = FINDS_MUCH, *, class_names: tuple[str, ...] = ("cat", "dog")
) -> Path:
    """A checkpoint of the demo's detector with random weights, the same each time; returns its path."""
    spec = load_spec(preset="demo", extra_layers=mapping_layers({**settings, "norm": {"kind": "batch"}})).spec
    torch.manual_seed(0)
    weights = build_detector(spec, num_classes=len(class_names), trains=False).state_dict()
    state = {
        "spec": format_spec(spec),
        "class_names": list(class_names),
        "category_ids": [3 + 4 * label for label in range(len(class_names))],
        "model": weights,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, state)
    return path
