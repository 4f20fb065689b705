"""``hrdet weights`` and ``hrdet train --weights``, with a detector that a run has trained."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from tests.integration.conftest import ONE_EPOCH, FinishedRun, Hrdet, tiny_options


@pytest.fixture(scope="session")
def trained(finished_run: FinishedRun) -> dict[str, Any]:
    """The run's best checkpoint."""
    return load_checkpoint(finished_run.folder / "checkpoints" / "best.pt")


@pytest.fixture
def of_mmdetection(trained: dict[str, Any], tmp_path: Path) -> Path:
    """The same detector as mmdetection 3 would have saved it."""
    path = tmp_path / "epoch_2.pth"
    meta = {"dataset_meta": {"classes": tuple(trained["class_names"])}}
    torch.save({"meta": meta, "state_dict": to_mmdetection(trained["model"])}, path)
    return path


def in_2019(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    theirs = {key.replace("roi_head.bbox", "bbox"): tensor for key, tensor in to_mmdetection(tensors).items()}
    for name in ("weight", "bias"):
        classifier, regressor = (theirs[f"bbox_head.fc_{layer}.{name}"] for layer in ("cls", "reg"))
        theirs[f"bbox_head.fc_cls.{name}"] = torch.cat((classifier[-1:], classifier[:-1]))
        theirs[f"bbox_head.fc_reg.{name}"] = torch.cat((torch.full_like(regressor[:4], 9.0), regressor))
    return theirs


def spec_option(finished_run: FinishedRun) -> list[str]:
    return ["--spec", str(finished_run.folder / "spec.yaml")]


def same_tensors(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_converted_detector_has_the_same_weights_and_the_same_scores(
    hrdet: Hrdet, finished_run: FinishedRun, trained: dict[str, Any], of_mmdetection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "converted.pt"
    done = hrdet("weights", "convert", of_mmdetection, *spec_option(finished_run), "--out", out)
    assert done.exit_code == 0, done.stderr
    classes = trained["class_names"]
    assert done.stdout.splitlines()[-1] == (
        f"wrote {out}: demo, {len(trained['model'])} tensors, {len(classes)} classes; "
        f"score it with: hrdet eval {out} --val-data JSON IMAGES"
    )
    converted = load_checkpoint(out)
    assert converted["class_names"] == list(classes)
    assert same_tensors(converted["model"], trained["model"])
    scores = [
        hrdet("eval", source, "--json", "--out", tmp_path / f"eval-{index}")
        for index, source in enumerate((out, finished_run.folder / "checkpoints" / "best.pt"))
    ]
    assert [score.exit_code for score in scores] == [0, 0], scores[0].stderr
    converted_scores, trained_scores = (json.loads(score.stdout) for score in scores)
    assert converted_scores.pop("made_from")["weights"] == str(out)
    trained_scores.pop("made_from")
    assert converted_scores == trained_scores


def test_a_detector_of_2019_is_converted_with_the_classes_of_annotations(
    hrdet: Hrdet, finished_run: FinishedRun, trained: dict[str, Any], tmp_path: Path
) -> None:
    torch.save({"state_dict": in_2019(trained["model"])}, tmp_path / "epoch_12.pth")
    options = [*spec_option(finished_run), "--out", str(tmp_path / "converted.pt")]
    unnamed = hrdet("weights", "convert", tmp_path / "epoch_12.pth", *options)
    assert unnamed.exit_code == 2
    assert f"does not name its {len(trained['class_names'])} classes" in unnamed.stderr
    classes = finished_run.data_root / "val.json"
    done = hrdet("weights", "convert", tmp_path / "epoch_12.pth", *options, "--classes", classes)
    assert done.exit_code == 0, done.stderr
    converted = load_checkpoint(tmp_path / "converted.pt")
    assert converted["category_ids"] == trained["category_ids"]
    assert same_tensors(converted["model"], trained["model"])


def test_tensors_without_a_place_are_left_out_only_when_asked(
    hrdet: Hrdet, finished_run: FinishedRun, of_mmdetection: Path, tmp_path: Path
) -> None:
    document = torch.load(of_mmdetection, weights_only=True)
    document["state_dict"]["mask_head.conv.weight"] = torch.ones(2)
    torch.save(document, of_mmdetection)
    command = ["weights", "convert", of_mmdetection, *spec_option(finished_run), "--out", tmp_path / "c.pt"]
    strict = hrdet(*command)
    assert strict.exit_code == 4
    assert "1 tensor has no place in the model: mask_head.conv.weight" in strict.stderr
    assert not (tmp_path / "c.pt").exists()
    assert hrdet(*command, "--loose").exit_code == 0
    again = hrdet(*command, "--loose")
    assert again.exit_code == 5
    assert f"{tmp_path / 'c.pt'}: is there already" in again.stderr


def test_a_run_folder_stands_for_its_best_checkpoint(
    hrdet: Hrdet, finished_run: FinishedRun, trained: dict[str, Any], tmp_path: Path
) -> None:
    best = finished_run.folder / "checkpoints" / "best.pt"
    told = hrdet("weights", "inspect", finished_run.folder, "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["source"] == str(best)
    done = hrdet("weights", "convert", finished_run.folder, "--out", tmp_path / "c.pt")
    assert done.exit_code == 0, done.stderr
    assert same_tensors(load_checkpoint(tmp_path / "c.pt")["model"], trained["model"])
    options = [*tiny_options(finished_run.data_root), "--weights", str(finished_run.folder)]
    planned = hrdet("train", *options, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.stderr
    assert json.loads(planned.stdout)["spec"]["model"]["weights"] == str(best)
    empty = hrdet("train", *tiny_options(finished_run.data_root), "--weights", tmp_path, "--dry-run")
    assert (empty.exit_code, "is no run folder with checkpoints/best.pt" in empty.stderr) == (4, True)


def test_weights_without_a_run_ask_for_data_and_draw_none(
    hrdet: Hrdet,
    finished_run: FinishedRun,
    of_mmdetection: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    setting = ("--set", "data.root=no-data")
    converted = tmp_path / "converted.pt"
    spec = spec_option(finished_run)
    assert hrdet("weights", "convert", of_mmdetection, *spec, *setting, "--out", converted).exit_code == 0
    for command in (["eval", of_mmdetection, *spec, *setting], ["eval", converted]):
        refused = hrdet(*command)
        assert refused.exit_code == 2
        (line,) = refused.stderr.splitlines()
        assert line.endswith("are not there; name data to score them on: --val-data JSON IMAGES")
    assert not (tmp_path / "no-data").exists()


def test_inspect_tells_what_weights_are(
    hrdet: Hrdet, finished_run: FinishedRun, of_mmdetection: Path
) -> None:
    told = hrdet("weights", "inspect", of_mmdetection, *spec_option(finished_run))
    assert told.exit_code == 0, told.stderr
    assert "mmdetection 2 or 3" in told.stdout
    assert "fits demo: " in told.stdout
    document = json.loads(hrdet("weights", "inspect", of_mmdetection, "--json").stdout)
    assert document["backbone"] == "HRNetV2-SMALL"
    fitting = "mmdet3-hrnet-w18 --set model.backbone.width=small"
    assert document["likely_preset"] is None  # the neck has other channels, too
    assert document["fit"]["spec_name"] == fitting


class Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("command", ["inspect", "convert", "eval", "train"])
def test_no_command_runs_what_is_in_a_file(command: str, hrdet: Hrdet, tmp_path: Path) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "harmful.pth"
    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": Harmful(marker)}, path)
    arguments = {
        "inspect": ["weights", "inspect", str(path)],
        "convert": ["weights", "convert", str(path), "--preset", "demo", "--out", str(tmp_path / "out.pt")],
        "eval": ["eval", str(path), "--preset", "demo"],
        "train": [
            "train",
            *tiny_options(tmp_path / "data"),
            "--weights",
            str(path),
            "--run-dir",
            str(tmp_path / "run"),
        ],
    }
    done = hrdet(*arguments[command])
    assert done.exit_code == 4
    assert f"weights {path} hold objects other than tensors and plain types (posix.system)" in done.stderr
    assert not marker.exists()


def test_training_starts_from_the_weights_of_an_option(
    hrdet: Hrdet, finished_run: FinishedRun, of_mmdetection: Path, trained: dict[str, Any], tmp_path: Path
) -> None:
    options = tiny_options(finished_run.data_root, *ONE_EPOCH)
    options += ["--weights", str(of_mmdetection), "--run-dir", str(tmp_path / "run")]
    planned = hrdet("train", *options, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    rows = [line.split() for line in planned.stdout.splitlines() if line.startswith("weights ")]
    assert rows == [["weights", str(of_mmdetection)]]
    done = hrdet("train", *options)
    assert done.exit_code == 0, done.stderr
    num_tensors = len(trained["model"])
    what = f"Faster R-CNN of mmdetection 2 or 3: {num_tensors} tensors, 0 left over"
    told = f"weights {of_mmdetection} ({what}), cpu"
    assert told in done.stdout
