"""RetinaNet and FCOS through the commands."""

import json
from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from tests.integration.conftest import ONE_EPOCH, Hrdet, metric_lines, some_pictures, tiny_options

SMALL = (
    "model.neck.channels=16",
    "model.head.channels=16",
    "model.head.num_convs=1",
    *ONE_EPOCH,
    "run.log_every_steps=1",
)
HEADS = {
    "retinanet": (
        "model.head.kind=retinanet",
        "model.head={norm: batch, anchor_scale: 3, score_threshold: 0.005}",
        "norm.statistics=valid",
    ),
    "fcos": (
        "model.head.kind=fcos",
        "model.head.range_ends_pixels=[24, 48, 96, 192]",
        "model.head.score_threshold=0.005",
        # FCOS's recipe.
        "optimisation.parameter_groups.bias={learning_rate_factor: 2, weight_decay_factor: 0}",
        "optimisation.warmup_shape=constant",
    ),
}
LOSSES = {
    "retinanet": ["retina_class", "retina_box"],
    "fcos": ["fcos_class", "fcos_box", "fcos_centreness"],
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_detector_that_looks_once_goes_through_all_commands(
    hrdet: Hrdet, demo_data: Path, tmp_path: Path, kind: str
) -> None:
    data, run, sheets = demo_data, tmp_path / "run", tmp_path / "predictions"
    options = tiny_options(data, *SMALL, *HEADS[kind])
    outcome = hrdet("train", *options, "--dry-run")
    assert outcome.exit_code == 0, outcome.stderr
    outcome = hrdet("inspect-batch", *options, "--out", tmp_path / "batches")
    assert outcome.exit_code == 0, outcome.stderr
    assert ("IoU 0.5" in outcome.stdout) == (kind == "retinanet")  # the share of boxes that anchors overlap

    trained = hrdet("train", *options, "--run-dir", run)
    assert trained.exit_code == 0, trained.stderr
    lines = [line for line in metric_lines(run) if "losses" in line]
    assert list(lines[0]["losses"]) == LOSSES[kind]
    classes = LOSSES[kind][0]
    assert lines[-1]["losses"][classes] < lines[0]["losses"][classes]
    if kind == "fcos":
        rates = [line["learning_rate"] for line in lines]
        assert rates[0] == rates[2] < rates[3]
    weights = load_checkpoint(run / "checkpoints" / "last.pt")["model"]
    part = "retina_head" if kind == "retinanet" else "fcos_head"
    assert {name.split(".")[0] for name in weights} == {"backbone", "neck", part}

    outcome = hrdet("eval", run)
    assert outcome.exit_code == 0, outcome.stderr
    assert len(json.loads((run / "eval-best" / "detections.json").read_text())) > 20
    pictures = some_pictures(data, tmp_path / "pictures")
    outcome = hrdet("predict", run, pictures, "--out", sheets, "--min-score", "0.005")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads((sheets / "detections.json").read_text())["annotations"]
    outcome = hrdet("export", run, "--to", "mmdetection", "--out", tmp_path / "mmdetection.pth")
    assert outcome.exit_code == 0, outcome.stderr
    theirs = torch.load(tmp_path / "mmdetection.pth", weights_only=True)["state_dict"]
    assert any(name.startswith("bbox_head.") for name in theirs)
