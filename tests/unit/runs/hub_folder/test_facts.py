"""What is known of a trained detector beside its weights."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.runs.hub_folder.facts import facts_of
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.specs.loading import load_spec

STEP = 12
SCALE = {"evaluation.scale_pixels": (96, 64)}


@pytest.fixture
def best(tmp_path: Path) -> TrainedDetector:
    """The best checkpoint of a run."""
    spec = load_spec(preset="demo").spec
    return TrainedDetector(
        source=str(tmp_path),
        file=tmp_path / "checkpoints" / "best.pt",
        name="best",
        spec=spec,
        class_names=("cat",),
        category_ids=(1,),
        weights={},
        is_of_run=True,
        saved_spec=spec,
        changes={},
        step=STEP,
    )


def write_metrics(
    run: Path,
    folder: str,
    *,
    step: int | None = STEP,
    changes: Mapping[str, Any] | None = None,
    spec: str | None = None,
    weights: str = "/home/me/theirs.pth",
) -> None:
    annotations = f"/home/me/{folder}.json"
    made_from = {
        "weights": weights,
        "step": step,
        "spec": spec,
        "changes": changes or {},
        "annotations": annotations,
    }
    (run / folder).mkdir()
    (run / folder / "metrics.json").write_text(json.dumps({"made_from": made_from}))


def evaluated_on(trained: TrainedDetector) -> str | None:
    """The folder of the evaluation that the card would have."""
    metrics = facts_of(trained, num_parameters=0).metrics
    return None if metrics is None else metrics["made_from"]["annotations"].removesuffix(".json")


def test_results_are_of_the_spec_that_is_exported(best: TrainedDetector, tmp_path: Path) -> None:
    changed = replace(best, changes=SCALE)
    write_metrics(tmp_path, "eval-best")
    assert evaluated_on(best) == "eval-best"
    assert evaluated_on(changed) is None
    assert evaluated_on(replace(best, changes={"run.device": "cpu"})) == "eval-best", (
        "no result depends on it"
    )
    write_metrics(tmp_path, "eval-best-changed", changes={"model.head.nms_iou": 0.6})
    write_metrics(tmp_path, "eval-best-changed-2", changes=SCALE)
    assert evaluated_on(changed) == "eval-best-changed-2"
    metrics = facts_of(changed, num_parameters=0).metrics
    assert metrics is not None
    assert metrics["made_from"]["changes"] == {}, "the spec beside it has them"


def test_a_run_without_validation_data_has_results_on_others(best: TrainedDetector, tmp_path: Path) -> None:
    write_metrics(tmp_path, "eval-best-ema-on-test")
    write_metrics(tmp_path, "eval-best-on-old", step=STEP - 1)
    assert evaluated_on(best) is None
    write_metrics(tmp_path, "eval-best-on-test")
    assert evaluated_on(best) == "eval-best-on-test"
    write_metrics(tmp_path, "evaluation")
    assert evaluated_on(best) == "evaluation", "its own data go first"


def test_results_of_weights_of_other_code_are_those_with_the_same_preset(
    best: TrainedDetector, tmp_path: Path
) -> None:
    file = tmp_path / "theirs.pth"
    theirs = replace(best, file=file, name="theirs", is_of_run=False, given_spec="demo", step=None)
    write_metrics(tmp_path, "eval-theirs", step=None, spec="hrnet-w18")
    assert evaluated_on(theirs) is None
    write_metrics(tmp_path, "eval-theirs-2", step=None, spec="demo")
    assert evaluated_on(theirs) == "eval-theirs-2"
    assert evaluated_on(replace(theirs, file=tmp_path / "others.pth")) is None


def test_results_of_a_checkpoint_that_was_fetched_are_not_those_of_another_of_its_name(
    best: TrainedDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    write_metrics(tmp_path / "runs", "eval-x", weights="hf:you/x")
    mine = replace(best, source="hf:me/x", file=None, name="x")
    assert evaluated_on(replace(mine, source="hf:you/x")) == "eval-x"
    assert evaluated_on(mine) is None


def test_a_checkpoint_that_was_copied_has_results_on_other_data_beside_it(
    best: TrainedDetector, tmp_path: Path
) -> None:
    copied = replace(best, file=tmp_path / "best.pt")
    write_metrics(tmp_path, "eval-best-on-test")
    assert evaluated_on(copied) == "eval-best-on-test"
