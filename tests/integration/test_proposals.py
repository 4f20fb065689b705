"""A region proposal network alone through the commands."""

import json
from pathlib import Path

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from tests.integration.conftest import Hrdet, metric_lines, some_pictures, tiny_options

PROPOSALS = ("model.head.kind=rpn", "model.head.rpn={anchor_scale: 6, num_test_proposals: 400}")


def test_proposals_are_of_one_class_in_training_evaluation_and_prediction(
    hrdet: Hrdet, demo_data: Path, tmp_path: Path
) -> None:
    data, run, sheets = demo_data, tmp_path / "run", tmp_path / "predictions"
    trained = hrdet("train", *tiny_options(data, *PROPOSALS), "--run-dir", run)
    assert trained.exit_code == 0, trained.stderr
    lines = metric_lines(run)
    losses = [line["losses"] for line in lines if "losses" in line]
    assert set(losses[0]) == {"rpn_objectness", "rpn_box"}
    assert losses[-1]["rpn_objectness"] < losses[0]["rpn_objectness"]

    evaluations = [line["box"] for line in lines if line["kind"] == "evaluation"]
    recalls = [numbers["AR1000"] for numbers in evaluations]
    assert load_checkpoint(run / "checkpoints" / "best.pt")["best_recall"] == max(recalls)
    assert f"best AR1000 {max(recalls):.3f}" in trained.stdout

    outcome = hrdet("eval", run)
    assert outcome.exit_code == 0, outcome.stderr
    assert "AR1000" in outcome.stdout
    metrics = json.loads((run / "eval-best" / "metrics.json").read_text())
    num_boxes = len(json.loads((data / "val.json").read_text())["annotations"])
    ((name, of_class),) = metrics["classes"].items()
    assert (name, of_class["num_boxes"] <= num_boxes) == ("object", True)
    assert metrics["box"]["AR100"] <= metrics["box"]["AR300"] <= metrics["box"]["AR1000"]
    assert 0.02 < metrics["box"]["AR1000"] < 1

    pictures = some_pictures(data, tmp_path / "pictures")
    outcome = hrdet("predict", run, pictures, "--out", sheets, "--min-score", "0")
    assert outcome.exit_code == 0, outcome.stderr
    document = json.loads((sheets / "detections.json").read_text())
    assert document["categories"] == [{"id": 1, "name": "object"}]
    assert len(document["annotations"]) > 100 * len(document["images"])
    assert {item["category_id"] for item in document["annotations"]} == {1}

    of_best = next(numbers["AP"] for numbers in evaluations if numbers["AR1000"] == max(recalls))
    outcome = hrdet("train", "--resume", "--run-dir", run, "--set", "evaluation.best_by=box")
    assert outcome.exit_code == 0, outcome.stderr
    told = f"chosen by AR1000 ({max(recalls):.3f}), from now on box AP decides: it has box AP {of_best:.3f}"
    assert told in " ".join((outcome.stdout + outcome.stderr).split())
    assert f"best box AP {of_best:.3f}" in outcome.stdout
