"""``hrdet export --to hub-folder``: what it writes is a card of what is known, and a detector again."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import hrdet_cli as api
from tests.integration.conftest import FinishedRun, Hrdet, Outcome


@pytest.fixture
def exported(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> tuple[Path, Outcome]:
    """A folder, and what the command said."""
    out = tmp_path / "cells"
    outcome = hrdet("export", finished_run.folder, "--to", "hub-folder", "--out", out)
    assert outcome.exit_code == 0, outcome.stderr
    return out, outcome


def data_of(run: FinishedRun) -> tuple[Path, Path]:
    return run.data_root / "val.json", run.data_root / "images.zip"


def test_the_card_has_front_matter_results_and_training(
    exported: tuple[Path, Outcome], finished_run: FinishedRun
) -> None:
    out, outcome = exported
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md",
        "metrics.json",
        "model.safetensors",
        "spec.yaml",
    ]
    assert f"note: {out / 'README.md'} says no licence" in outcome.stderr
    text = (out / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    metrics = json.loads((out / "metrics.json").read_text())
    (result,) = front["model-index"][0]["results"]
    assert front["library_name"] == "hrdet"
    assert "faster-rcnn" in front["tags"]
    assert "license" not in front
    assert result["metrics"] == [
        {"type": "box_ap", "name": "box AP", "value": round(100 * metrics["box"]["AP"], 2)}
    ]
    assert "* trained on 12 pictures with " in text
    assert "striped disc, checked square" in text
    assert str(finished_run.data_root) not in text + (out / "spec.yaml").read_text() + json.dumps(metrics)


def test_the_folder_is_a_detector_that_scores_as_its_card_says(
    exported: tuple[Path, Outcome], finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out, _ = exported
    results = tmp_path / "results"
    outcome = hrdet("eval", out, "--val-data", *data_of(finished_run), "--out", results, "--quiet")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    found, claimed = (json.loads((folder / "metrics.json").read_text()) for folder in (results, out))
    assert found["box"] == claimed["box"]


def test_every_command_takes_the_folder(
    exported: tuple[Path, Outcome], finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out, _ = exported
    Image.effect_mandelbrot((160, 120), (-2, -1, 1, 1), 50).save(tmp_path / "picture.png")
    settings = ("--set", "model.head.roi_head.score_threshold=0.001", "--min-score", "0")
    found = [
        hrdet("predict", source, tmp_path / "picture.png", *settings, "--out", tmp_path / name, "--json")
        for name, source in (("of-folder", out), ("of-run", finished_run.folder))
    ]
    ours, theirs = (json.loads(outcome.stdout)["annotations"] for outcome in found)
    assert ours == theirs
    assert ours
    inspected = json.loads(hrdet("weights", "inspect", out, "--json").stdout)
    assert inspected["class_names"][0] == "striped disc"
    assert inspected["fit"]["report"]["missing"] == inspected["fit"]["report"]["left_over"] == []
    outcome = hrdet("export", out, "--to", "hub-folder", "--out", tmp_path / "again")
    assert outcome.exit_code == 0, outcome.stderr
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (out / "metrics.json").read_bytes()
    step = json.loads((out / "metrics.json").read_text())["made_from"]["step"]
    for folder in (out, tmp_path / "again"):
        assert f"* {step} steps, " in (folder / "README.md").read_text()
    classes = inspected["class_names"]
    started, loaded = api.build("demo", class_names=classes, weights=out), api.load(out)
    wanted = loaded.module.state_dict()
    for name, tensor in started.module.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_folder_that_is_not_empty_stays_unless_told(
    finished_run: FinishedRun, hrdet: Hrdet, exported: tuple[Path, Outcome]
) -> None:
    out, _ = exported
    (out / "notes.txt").write_text("mine")
    outcome = hrdet("export", finished_run.folder, "--to", "hub-folder", "--out", out)
    assert outcome.exit_code == 5
    assert f"{out}: is there already and not empty" in outcome.stderr
    outcome = hrdet("export", finished_run.folder, "--to", "hub-folder", "--out", out, "--overwrite")
    assert outcome.exit_code == 0
    assert (out / "notes.txt").read_text() == "mine"


def test_what_nobody_knows_is_not_on_the_card(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    """A checkpoint out of its run: no record, no evaluation."""
    file = tmp_path / "lone.pt"
    file.write_bytes((finished_run.folder / "checkpoints" / "best.pt").read_bytes())
    out = tmp_path / "lone"
    outcome = hrdet("export", file, "--to", "hub-folder", "--out", out)
    assert outcome.exit_code == 0, outcome.stderr
    assert "nobody has evaluated these very weights" in outcome.stderr
    text = (out / "README.md").read_text()
    assert "## Results" not in text
    assert "trained on" not in text
    assert "model-index" not in text
    assert not (out / "metrics.json").exists()
