"""A cascade through the commands."""

import json
from pathlib import Path

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from tests.integration.conftest import ONE_EPOCH, Hrdet, metric_lines, some_pictures, tiny_options

CASCADE = (
    "model.head.kind=cascade_rcnn",
    "model.head.rpn={anchor_scale: 6, num_train_proposals: 100, num_test_proposals: 60}",
    "model.head.roi_head={sampling: ohem, num_samples: 32, hidden_features: 32, score_threshold: 0.001}",
    "norm.statistics=valid",
)


def test_a_cascade_with_hard_examples_is_trained_evaluated_and_drawn(
    hrdet: Hrdet, demo_data: Path, tmp_path: Path
) -> None:
    data, run, sheets = demo_data, tmp_path / "run", tmp_path / "predictions"
    trained = hrdet("train", *tiny_options(data, *CASCADE, *ONE_EPOCH), "--run-dir", run)
    assert trained.exit_code == 0, trained.stderr
    losses = [line["losses"] for line in metric_lines(run) if "losses" in line]
    stages = [f"roi_{part}_{number}" for number in (1, 2, 3) for part in ("class", "box")]
    assert list(losses[0]) == ["rpn_objectness", "rpn_box", *stages]
    assert losses[-1]["roi_class_1"] < losses[0]["roi_class_1"]
    weights = load_checkpoint(run / "checkpoints" / "last.pt")["model"]
    assert weights["roi_head.stages.2.regressor.weight"].shape == (4, 32)

    outcome = hrdet("eval", run)
    assert outcome.exit_code == 0, outcome.stderr
    found = json.loads((run / "eval-best" / "detections.json").read_text())
    assert len(found) > 20
    assert json.loads((run / "eval-best" / "metrics.json").read_text())["box"]["AR100"] is not None
    pictures = some_pictures(data, tmp_path / "pictures")
    outcome = hrdet("predict", run, pictures, "--out", sheets, "--min-score", "0.02")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads((sheets / "detections.json").read_text())["annotations"]
