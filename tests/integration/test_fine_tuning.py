"""Averages of the weights, groups of parameters, and a trained detector taken to other classes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.conftest import ONE_EPOCH, TINY, FinishedRun, Hrdet, run_hrdet, tiny_options

AVERAGING = "optimisation.ema={decay: 0.8}"
TUNING = (
    "norm={kind: batch, keep_statistics: true}",
    "model.backbone.frozen_stages=1",
    *ONE_EPOCH,
    "evaluation.every_num_epochs=0",
)


def metric_lines(folder: Path) -> list[dict[str, Any]]:
    file = folder / "metrics.jsonl"  # not there before the first step is finished
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "checkpoints" / name, weights_only=True)
    return state


@pytest.fixture(scope="module")
def averaging_run(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The tiny experiment with an average, on the data of the plain one."""
    folder = tmp_path_factory.mktemp("averaging") / "run"
    done = run_hrdet("train", *tiny_options(finished_run.data_root, AVERAGING), "--run-dir", str(folder))
    assert done.returncode == 0, done.stderr
    return FinishedRun(folder, finished_run.data_root, done.stdout)


@pytest.mark.slow
def test_an_average_is_evaluated_and_kept_beside_weights_that_it_does_not_change(
    finished_run: FinishedRun, averaging_run: FinishedRun
) -> None:
    folder = averaging_run.folder
    plain, state = checkpoint(finished_run.folder, "last.pt"), checkpoint(folder, "last.pt")
    assert all(torch.equal(state["model"][key], value) for key, value in plain["model"].items())
    assert list(state["ema_model"]) == list(state["model"])
    assert state["ema_num_steps"] == state["step"]
    assert not torch.equal(
        state["ema_model"]["neck.reduction_conv.bias"], plain["model"]["neck.reduction_conv.bias"]
    )

    lines = [line for line in metric_lines(folder) if line["kind"] == "evaluation"]
    assert [(line["epoch"], line["weights"]) for line in lines] == [
        (1, "raw"),
        (1, "ema"),
        (2, "raw"),
        (2, "ema"),
    ]
    for part, weights in (("evaluation", "raw"), ("evaluation-ema", "ema")):
        written = json.loads((folder / part / "metrics.json").read_text())["box"]
        assert written == [line["box"] for line in lines if line["weights"] == weights][-1]
    assert "epoch 2  evaluated the average: AP" in averaging_run.stdout
    best_of_average = max(line["box"]["AP"] for line in lines if line["weights"] == "ema")
    assert checkpoint(folder, "best-ema.pt")["best_ema_box_ap"] == best_of_average


@pytest.mark.slow
def test_a_run_stopped_while_the_average_is_evaluated_goes_on_to_the_very_same_average_and_figures(
    averaging_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"

    def is_after_the_first_evaluation(_self: object) -> bool:
        return [line for line in metric_lines(folder) if line["kind"] == "evaluation"] != []

    monkeypatch.setattr("hrdet_cli.cli.stopping.StopRequest.is_asked", is_after_the_first_evaluation)
    options = tiny_options(averaging_run.data_root, AVERAGING)
    assert hrdet("train", *options, "--run-dir", folder).exit_code == 130
    monkeypatch.undo()

    outcome = hrdet("train", "--resume", "--run-dir", folder)

    assert outcome.exit_code == 0, outcome.stderr
    first, second = checkpoint(averaging_run.folder, "last.pt"), checkpoint(folder, "last.pt")
    assert second["ema_num_steps"] == first["ema_num_steps"]
    for weights in ("model", "ema_model"):
        assert all(torch.equal(second[weights][key], value) for key, value in first[weights].items())
    told = [
        [(line["epoch"], line["weights"], line["box"]) for line in metric_lines(path) if "weights" in line]
        for path in (averaging_run.folder, folder)
    ]
    assert told[0] == told[1]
    assert (folder / "checkpoints" / "best-ema.pt").is_file()


def test_a_dry_run_tells_the_rates_of_parameter_groups(finished_run: FinishedRun, hrdet: Hrdet) -> None:
    backbone = "optimisation.parameter_groups.backbone.learning_rate_factor=0.1"
    bias = "optimisation.parameter_groups.bias.learning_rate_factor=0"
    options = tiny_options(finished_run.data_root, backbone, bias, AVERAGING)

    document = json.loads(hrdet("train", *options, "--dry-run", "--json").stdout)
    screen = hrdet("train", *options, "--dry-run").stdout

    assert document["plan"]["parameter_groups"] == [
        {
            "name": "backbone",
            "learning_rate_factor": 0.1,
            "learning_rate": pytest.approx(0.002),
            "weight_decay_factor": 1,
            "weight_decay": 1e-4,
            "stage_decay": 1.0,
        },
        {
            "name": "bias",
            "learning_rate_factor": 0,
            "learning_rate": 0,
            "weight_decay_factor": 1,
            "weight_decay": 1e-4,
            "stage_decay": 1.0,
        },
    ]
    assert "learning rate 0.002 (x 0.1), weight decay 0.0001 (x 1)" in screen
    assert "parameters of bias" in screen
    assert "decay 0.8 a step" in screen


@pytest.fixture(scope="module")
def other_classes(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name the tiny data with two of its six classes, under other names."""
    folder = tmp_path_factory.mktemp("other")
    options = []
    for part in ("train", "val"):
        document = json.loads((finished_run.data_root / f"{part}.json").read_text())
        kept = {category["id"] for category in document["categories"][:2]}
        document["categories"] = [
            {"id": category["id"], "name": f"thing {category['id']}"}
            for category in document["categories"][:2]
        ]
        document["annotations"] = [box for box in document["annotations"] if box["category_id"] in kept]
        file = folder / f"{part}.json"
        file.write_text(json.dumps(document))
        options += [f"--{part}-data", str(file), str(finished_run.data_root / "images.zip")]
    return options


def tuning_options(*more: str) -> list[str]:
    settings = [*TINY, "data.demo=null", *TUNING, *more]
    return ["--preset", "demo", *(word for setting in settings for word in ("--set", setting))]


@pytest.mark.slow
def test_a_detector_is_taken_to_other_classes_and_what_shall_not_move_does_not(
    finished_run: FinishedRun, other_classes: list[str], hrdet: Hrdet, tmp_path: Path
) -> None:
    source, folder = finished_run.folder / "checkpoints" / "best.pt", tmp_path / "run"
    still = "optimisation.parameter_groups.backbone.learning_rate_factor=0"

    outcome = hrdet("train", *tuning_options(still), *other_classes, "--weights", source, "--run-dir", folder)

    assert outcome.exit_code == 0, outcome.stderr
    assert "have 6 classes, the data 2: the last layers of the head start anew" in outcome.stdout
    assert "parameter group backbone" in outcome.stdout
    assert "parameters that do not move" in outcome.stdout
    before, state = checkpoint(finished_run.folder, "best.pt")["model"], checkpoint(folder, "last.pt")
    after = state["model"]
    assert [name.split()[0] for name in state["class_names"]] == ["thing", "thing"]
    of_backbone = [key for key in before if key.startswith("backbone.")]
    assert [key for key in of_backbone if not torch.equal(after[key], before[key])] == []
    assert not torch.equal(after["neck.reduction_conv.weight"], before["neck.reduction_conv.weight"])
    assert [len(model["roi_head.classifier.weight"]) for model in (before, after)] == [6 + 1, 2 + 1]


@pytest.mark.slow
def test_a_run_of_no_rate_starts_from_the_detectors_weights_to_the_bit(
    finished_run: FinishedRun, other_classes: list[str], hrdet: Hrdet, tmp_path: Path
) -> None:
    """All that is not re-made is there at step 0: the rate is so small that nothing has moved since."""
    source = finished_run.folder / "checkpoints" / "best.pt"
    none = ("optimisation.base_learning_rate=1e-30", "optimisation.weight_decay=0")

    outcome = hrdet(
        "train", *tuning_options(*none), *other_classes, "--weights", source, "--run-dir", tmp_path / "run"
    )

    assert outcome.exit_code == 0, outcome.stderr
    before, after = (
        checkpoint(finished_run.folder, "best.pt")["model"],
        checkpoint(tmp_path / "run", "last.pt")["model"],
    )
    assert list(after) == list(before)
    differing = {key for key, value in before.items() if not torch.equal(after[key], value)}
    assert differing == {
        f"roi_head.{layer}.{kind}" for layer in ("classifier", "regressor") for kind in ("weight", "bias")
    }
