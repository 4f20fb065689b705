"""``hrdet train`` from the outside: what it writes, refuses, resumes and says."""

import json
import os
import re
import shutil
import signal
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
import yaml

from hrdet_cli.runs.run_folder import RunFolder
from tests.forked import ForkedHrdet
from tests.integration.conftest import (
    NUM_TRAIN_PICTURES,
    ONE_EPOCH,
    FinishedRun,
    Hrdet,
    metric_lines,
    tiny_options,
)


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["model"]
    return weights


def test_a_run_leaves_everything_behind(finished_run: FinishedRun) -> None:
    files = {str(path.relative_to(finished_run.folder)) for path in finished_run.folder.rglob("*.*")}
    of_trackers = {name for name in files if name.startswith("trackers/")}
    assert len(of_trackers) == 1
    assert files - of_trackers == {
        "spec.yaml",
        "run.json",
        "metrics.jsonl",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
        "checkpoints/epoch-001.pt",
        "checkpoints/epoch-002.pt",
        "pictures/train-batch-1.png",
        "pictures/train-batch-2.png",
        "pictures/curves.png",
        "logs/rank-0.log",
        "evaluation/metrics.json",
        "evaluation/detections.json",
        "evaluation/detections.png",
        "evaluation/precision-recall.png",
        "evaluation/metrics-best.json",
        "run.html",
    }


def test_a_run_has_a_page_that_can_be_written_again(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)  # whose answer says that it did not
    out = tmp_path / "page.html"
    outcome = hrdet("show", finished_run.folder, "--out", out, "--open")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout == f"{out}\n"
    assert opened == [out.as_uri()]
    assert outcome.stderr == f"note: no browser could be opened; open {out} in one\n"
    pages = [file.read_text() for file in (out, finished_run.folder / "run.html")]
    footer = re.compile("<footer>.*</footer>")
    assert footer.sub("", pages[0]) == footer.sub("", pages[1])

    outcome = hrdet("show", tmp_path)
    assert outcome.exit_code == 5
    assert "is not a run folder" in outcome.stderr


def test_metrics_have_every_step_once_and_every_evaluation(finished_run: FinishedRun) -> None:
    lines = metric_lines(finished_run.folder)
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    assert {line["epoch"] for line in steps} == {1, 2}
    assert set(steps[0]["losses"]) == {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}
    assert [line["epoch"] for line in lines if line["kind"] == "evaluation"] == [1, 2]


def test_a_tracker_has_the_numbers_and_pictures_too(finished_run: FinishedRun) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished_run.folder / "trackers" / "tensorboard")).Reload()
    of_steps = [line for line in metric_lines(finished_run.folder) if line["kind"] == "step"]
    tracked = events.Scalars("train/loss")
    assert [event.step for event in tracked] == [line["step"] for line in of_steps]
    assert [event.value for event in tracked] == pytest.approx([line["loss"] for line in of_steps])
    assert len(events.Scalars("val/box/AP")) == 2
    assert len(events.Images("evaluation/detections")) == len(events.Images("train-batch")) == 2


def test_the_learning_rate_warms_up_and_drops(finished_run: FinishedRun) -> None:
    rates = [line["learning_rate"] for line in metric_lines(finished_run.folder) if line["kind"] == "step"]
    full = 0.04 * 2 / 4  # the demo's base rate, by the linear rule
    assert rates[0] == pytest.approx(full * 0.1)
    assert rates[3] == pytest.approx(full)
    assert rates[-1] == pytest.approx(full * 0.1)


def test_plain_lines_show_losses_rate_speed_and_what_was_saved(finished_run: FinishedRun) -> None:
    assert "loss" in finished_run.stdout
    assert "rpn_objectness" in finished_run.stdout
    assert "img/s" in finished_run.stdout
    assert "epoch 2  evaluated: AP" in finished_run.stdout
    assert "best.pt" in finished_run.stdout
    assert "\x1b[" not in finished_run.stdout


def test_run_json_says_who_ran_what_on_which_data(finished_run: FinishedRun) -> None:
    (launch,) = json.loads((finished_run.folder / "run.json").read_text())["launches"]
    assert launch["command"][1] == "train"
    assert launch["versions"]["torch"] == version("torch")
    assert launch["seed"] == 0
    assert len(launch["data_fingerprints"]["train"]) == 64
    assert launch["plan"]["train"]["num_pictures"] == NUM_TRAIN_PICTURES


def test_checkpoints_hold_tensors_and_plain_types_with_the_class_map(finished_run: FinishedRun) -> None:
    state = torch.load(finished_run.folder / "checkpoints" / "best.pt", weights_only=True)
    assert len(state["class_names"]) == len(state["category_ids"]) == 6
    assert yaml.safe_load(state["spec"])["name"] == "demo"


@pytest.mark.slow
def test_the_saved_spec_runs_again_to_the_same_weights(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    outcome = hrdet("train", "--spec", finished_run.folder / "spec.yaml", "--run-dir", again)
    assert outcome.exit_code == 0, outcome.stderr
    first = weights_of(finished_run.folder / "checkpoints" / "last.pt")
    second = weights_of(again / "checkpoints" / "last.pt")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_a_run_stopped_in_mid_epoch_goes_on_to_the_very_same_weights(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    monkeypatch.setattr(
        "hrdet_cli.cli.stopping.StopRequest.is_asked", lambda _self: len(metric_lines(folder)) == 2
    )
    outcome = hrdet("train", *tiny_options(finished_run.data_root), "--run-dir", folder)
    assert outcome.exit_code == 130
    assert f"stopped after step 3; go on with: hrdet train --resume --run-dir {folder}" in outcome.stdout
    monkeypatch.undo()

    outcome = hrdet("train", "--resume", "--run-dir", folder, "--set", "data.num_workers=2")
    assert outcome.exit_code == 0, outcome.stderr
    first = torch.load(finished_run.folder / "checkpoints" / "last.pt", weights_only=True)
    second = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert all(torch.equal(first["model"][key], second["model"][key]) for key in first["model"])
    momenta = zip(first["optimiser"]["state"].values(), second["optimiser"]["state"].values(), strict=True)
    assert all(torch.equal(one["momentum_buffer"], two["momentum_buffer"]) for one, two in momenta)
    steps = [
        [line["losses"] for line in metric_lines(f) if line["kind"] == "step"]
        for f in (finished_run.folder, folder)
    ]
    assert steps[0] == steps[1]
    assert len(json.loads((folder / "run.json").read_text())["launches"]) == 2


@pytest.mark.slow
def test_a_run_stopped_at_the_end_of_an_epoch_still_evaluates_it(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    num_steps = sum(line["kind"] == "step" for line in metric_lines(finished_run.folder)) // 2
    monkeypatch.setattr(
        "hrdet_cli.cli.stopping.StopRequest.is_asked",
        lambda _self: len(metric_lines(folder)) == num_steps - 1,
    )
    assert hrdet("train", *tiny_options(finished_run.data_root), "--run-dir", folder).exit_code == 130
    assert {line["kind"] for line in metric_lines(folder)} == {"step"}
    monkeypatch.undo()
    assert hrdet("train", "--resume", "--run-dir", folder).exit_code == 0
    assert metric_lines(folder)[num_steps]["kind"] == "evaluation"
    without_times = [
        [
            {key: line[key] for key in line if key in ("kind", "step", "losses", "box")}
            for line in metric_lines(path)
        ]
        for path in (folder, finished_run.folder)
    ]
    assert without_times[0] == without_times[1]
    assert (folder / "checkpoints" / "epoch-001.pt").is_file()


@pytest.mark.slow
def test_a_resumed_run_may_be_made_longer_and_remembers_it(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "longer"
    shutil.copytree(finished_run.folder, folder)
    change = ["--set", "optimisation.num_epochs=3", "--set", "evaluation.every_num_epochs=0"]
    assert hrdet("train", "--resume", "--run-dir", folder, *change).exit_code == 0
    assert max(line["epoch"] for line in metric_lines(folder)) == 3
    assert yaml.safe_load((folder / "spec.yaml").read_text())["optimisation"]["num_epochs"] == 3
    outcome = hrdet("train", "--resume", "--run-dir", folder)
    assert outcome.exit_code == 0
    assert max(line["epoch"] for line in metric_lines(folder)) == 3, "a finished run has nothing left to do"


@pytest.mark.slow
def test_a_damaged_last_checkpoint_is_skipped_aloud_and_the_one_before_serves(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(finished_run.folder, folder)
    (folder / "checkpoints" / "epoch-002.pt").unlink()
    last = folder / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    outcome = hrdet("train", "--resume", "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "skipped a checkpoint" in outcome.stdout
    first = weights_of(finished_run.folder / "checkpoints" / "last.pt")
    assert all(torch.equal(first[key], value) for key, value in weights_of(last).items())
    steps = [line["step"] for line in metric_lines(folder) if line["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1))


@pytest.fixture
def copied_run(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """For commands that lock it: other processes look at the run itself meanwhile."""
    folder = tmp_path / "copied"
    shutil.copytree(finished_run.folder, folder)
    return folder


def test_an_existing_run_is_refused_and_left_alone(
    finished_run: FinishedRun, copied_run: Path, hrdet: Hrdet
) -> None:
    before = (copied_run / "checkpoints" / "last.pt").stat().st_mtime_ns
    outcome = hrdet("train", *tiny_options(finished_run.data_root), "--run-dir", copied_run)
    assert outcome.exit_code == 5
    assert "already holds a run; continue it with --resume, replace it with --overwrite" in outcome.stderr
    assert (copied_run / "checkpoints" / "last.pt").stat().st_mtime_ns == before


def test_overwrite_never_deletes_a_folder_that_is_no_run(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "spec.yaml").write_text("a spec, but no run")
    outcome = hrdet("train", *tiny_options(finished_run.data_root), "--run-dir", tmp_path, "--overwrite")
    assert outcome.exit_code == 5
    assert "exists and is no run folder" in outcome.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_resumed_run_may_not_change_what_it_trains(copied_run: Path, hrdet: Hrdet) -> None:
    settings = ("optimisation.momentum=0.5", "run.seed=7", "run.log_every_steps=1")
    change = [word for setting in settings for word in ("--set", setting)]
    outcome = hrdet("train", "--resume", "--run-dir", copied_run, *change)
    assert outcome.exit_code == 2
    assert "optimisation.optimiser.momentum: is 0.9 in" in outcome.stderr
    assert "run.seed: is 0 in" in outcome.stderr
    assert "run.log_every_steps" not in outcome.stderr


def test_a_run_may_not_be_made_shorter_than_it_is(copied_run: Path, hrdet: Hrdet) -> None:
    spec_before = (copied_run / "spec.yaml").read_text()
    change = ["--set", "optimisation.num_epochs=1"]
    outcome = hrdet("train", "--resume", "--run-dir", copied_run, *change)
    assert outcome.exit_code == 2
    assert "optimisation.num_epochs: is 1, but" in outcome.stderr
    assert (copied_run / "spec.yaml").read_text() == spec_before


def test_data_that_moved_may_be_named_anew_and_a_finished_run_says_so(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder, moved = tmp_path / "run", tmp_path / "moved"
    shutil.copytree(finished_run.folder, folder)
    shutil.copytree(finished_run.data_root, moved)
    images = moved / "images.zip"
    data = ["--train-data", moved / "train.json", images, "--val-data", moved / "val.json", images]
    outcome = hrdet("train", "--resume", "--run-dir", folder, *data)
    assert outcome.exit_code == 0, outcome.stderr
    assert "all epochs are done already" in outcome.stdout


def test_weights_that_are_not_there_are_named_with_a_remedy_and_leave_no_half_run(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    options = tiny_options(finished_run.data_root, "model.weights=nowhere.pth")
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 4
    assert "nowhere.pth" in outcome.stderr
    assert "--from-scratch" in outcome.stderr
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 4, "a run that never began must not be in the way of the next try"


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_batch(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    settings = (
        "optimisation.base_learning_rate=1e30",
        "optimisation.clip_norm=null",
        "optimisation.warmup_steps=0",
    )
    options = tiny_options(finished_run.data_root, *settings)
    outcome = hrdet("train", *options, "--run-dir", folder)
    assert outcome.exit_code == 6
    batch_file = folder / "non-finite-batch.pt"
    assert "training stopped; checkpoints on disk are untouched" in outcome.stderr
    assert f"hrdet inspect-batch --batch {batch_file}" in outcome.stderr
    page = (folder / "run.html").read_text()
    assert "Ended with an error after step " in page
    assert "checkpoints on disk are untouched" in page
    outcome = hrdet("inspect-batch", "--batch", batch_file, "--out", tmp_path / "sheet", "--json")
    assert outcome.exit_code == 0
    assert Path(json.loads(outcome.stdout)["batches"][0]["sheet"]).is_file()


def test_a_dry_run_prints_plan_and_spec_as_json_and_trains_nothing(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    options = tiny_options(finished_run.data_root)
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run", "--dry-run", "--json")
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert document["time"] is None
    plan = document["plan"]
    assert plan["learning_rate"] == pytest.approx(0.02)
    assert plan["learning_rate_rule"] == "0.04 x 2 / 4 (linear rule)"
    assert plan["canvases"] == ["160x128", "128x160"]
    assert plan["num_steps"] == 2 * plan["steps_per_epoch"]
    assert plan["steps_per_epoch"] * 2 == plan["train"]["num_used"] + plan["num_repeats_per_epoch"]
    assert plan["sources"]["optimisation.num_epochs"] == "--set optimisation.num_epochs=2"
    assert document["spec"]["name"] == "demo"
    assert not (tmp_path / "run").exists()


def test_a_dry_run_of_a_run_that_goes_on_shows_what_it_keeps(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    folder.make_parts()
    record = json.loads(RunFolder(finished_run.folder).record_file.read_text())
    plan = record["launches"][-1]["plan"]
    plan["warmup_steps"] = 2
    *repeated, other = [note["text"] for note in plan["notes"]]
    plan["notes"][-1]["text"] = "said of other data"
    folder.record_file.write_text(json.dumps(record))
    folder.spec_file.write_text(RunFolder(finished_run.folder).read_spec())
    resumption = ["train", "--resume", tmp_path, "--dry-run"]

    def planned() -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(hrdet(*resumption, "--json").stdout)["plan"]
        notes = [note["text"] for note in plan["notes"]]
        return {"warmup": plan["warmup_steps"], "weights": plan["weights"], "notes": notes}

    assert planned() == {"warmup": 3, "weights": None, "notes": [*repeated, other]}, "nothing was saved"
    folder.last_checkpoint.touch()
    assert planned() == {"warmup": 2, "weights": str(folder.last_checkpoint), "notes": [other]}
    assert "2 steps, as many as the run began with" in hrdet(*resumption).stdout


def test_a_dry_run_tells_the_time_by_a_run_beside_it_or_at_a_rate(
    finished_run: FinishedRun, hrdet: Hrdet
) -> None:
    options = [*tiny_options(finished_run.data_root, "optimisation.num_epochs=40"), "--dry-run", "--run-dir"]
    planned = hrdet("train", *options, finished_run.folder.parent / "another", "--json")
    document = json.loads(planned.stdout)
    steps = [line["step_seconds"] for line in metric_lines(finished_run.folder) if line["kind"] == "step"]
    mean = sum(steps[1:]) / (len(steps) - 1)
    assert document["time"]["seconds"] == pytest.approx(document["plan"]["num_steps"] * mean)
    assert str(finished_run.folder) in document["time"]["basis"]
    at_rate = hrdet("train", *options, finished_run.folder.parent / "another", "--rate", "4").stdout
    assert "arithmetic" in at_rate
    assert hrdet("train", *options[:-2], "--rate", "4").stderr == (
        "error: --rate goes with --dry-run and with --rehearse NODESxGPUS\n"
    )


def test_a_dry_run_on_screen_ends_with_the_spec_that_it_resolved(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    outcome = hrdet("train", *tiny_options(finished_run.data_root), "--dry-run")
    plan, _, spec_text = outcome.stdout.partition("resolved spec")
    assert "learning rate" in plan
    assert "0.02 = 0.04 x 2 / 4 (linear rule)" in plan
    spec_file = tmp_path / "spec.yaml"
    spec_file.write_text(spec_text.partition("\n")[2])
    assert hrdet("train", "--spec", spec_file, "--dry-run").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_ctrl_c_or_a_scheduler_on_the_whole_process_group_finishes_the_step_and_saves(
    finished_run: FinishedRun, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    folder = tmp_path / "run"
    settings = ("optimisation.num_epochs=500", "data.num_workers=2")
    options = tiny_options(finished_run.data_root, *settings)
    process = ForkedHrdet("train", *options, "--run-dir", folder)  # in a group of its own, as in a terminal
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code, stderr
    assert stderr == "finishing the step and saving; Ctrl-C again stops at once and loses it\n"
    num_steps = len(metric_lines(folder))
    assert f"stopped after step {num_steps}; go on with" in stdout
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert state["step"] == num_steps


class SignalledFile:
    """Gets two signals while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.num_writes = file, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> int:
        self.num_writes += 1
        if self.num_writes in (20, 40):
            os.kill(os.getpid(), signal.SIGTERM)
        return self.file.write(data)


def signal_while_it_saves() -> None:
    save = torch.save
    pytest.MonkeyPatch().setattr(torch, "save", lambda state, file: save(state, SignalledFile(file)))


@pytest.mark.slow
def test_two_signals_while_a_checkpoint_is_written_end_with_their_code_and_blame_no_disk(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = tiny_options(finished_run.data_root, *ONE_EPOCH)
    process = ForkedHrdet("train", *options, "--run-dir", folder, prepare=signal_while_it_saves)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143
    assert stderr == "finishing the step and saving; Ctrl-C again stops at once and loses it\n"
    assert list((folder / "checkpoints").iterdir()) == []


def test_a_run_without_validation_data_says_what_it_cannot_do_and_may_get_them_later(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    root, folder = finished_run.data_root, tmp_path / "run"
    options = tiny_options(root, *ONE_EPOCH)
    outcome = hrdet(
        "train", *options, "--train-data", root / "train.json", root / "images.zip", "--run-dir", folder
    )
    assert outcome.exit_code == 0, outcome.stderr
    assert "there are no validation data: nothing is evaluated and no best.pt is kept" in outcome.stdout
    assert "nothing was evaluated" in outcome.stdout
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == ["epoch-001.pt", "last.pt"]
    assert [line for line in metric_lines(folder) if line["kind"] == "evaluation"] == []

    outcome = hrdet("eval", folder)
    assert outcome.exit_code == 2
    assert (
        "was trained without validation data; name data to score it on: --val-data JSON IMAGES"
        in outcome.stderr
    )

    val = ("--val-data", root / "val.json", root / "images.zip")
    outcome = hrdet("train", "--resume", folder, *val, "--set", "optimisation.num_epochs=2")
    assert outcome.exit_code == 0, outcome.stderr
    assert "epoch 2  evaluated: AP" in outcome.stdout
    assert (folder / "checkpoints" / "best.pt").is_file()


def test_no_anchor_that_matches_is_told_before_the_run_and_after_its_first_epoch(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    settings = (
        "model.head.rpn.anchor_scale=60",
        "model.head.rpn.allowed_border_pixels=0",
    )
    options = tiny_options(finished_run.data_root, *settings, "data.val=null", *ONE_EPOCH)
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 0, outcome.stderr
    assert "100% of the boxes can match no anchor" in outcome.stdout
    assert "in the whole first epoch no anchor matched a box (rpn_box 0 in every step)" in outcome.stdout
    assert "no anchor matched a box" not in finished_run.stdout


def test_a_run_ends_when_nothing_better_comes_and_a_resume_knows_it(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    settings = (
        "optimisation.base_learning_rate=1e-12",  # so that each evaluation is like the first
        "norm={kind: batch, keep_statistics: true}",
        f"model.weights={finished_run.folder / 'checkpoints' / 'last.pt'}",
        "optimisation.num_epochs=9",
        "optimisation.schedule.kind=constant",
        "data.batch_size_per_process=6",
        "evaluation.patience=2",
        "evaluation.with_loss=true",
    )
    folder = tmp_path / "run"
    outcome = hrdet("train", *tiny_options(finished_run.data_root, *settings), "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "2 evaluations in a row without a better box AP: the run ends after epoch 3" in outcome.stdout
    assert "finished in" in outcome.stdout
    lines = metric_lines(folder)
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    assert [line["epoch"] for line in evaluations] == [1, 2, 3]
    for line in evaluations:
        assert line["loss"] == pytest.approx(sum(line["losses"].values()))
        assert line["losses"].keys() == {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}
    assert f"loss {evaluations[2]['loss']:.3f}" in outcome.stdout

    outcome = hrdet("train", "--resume", "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "without a better box AP; --set evaluation.patience=null trains on" in outcome.stdout
    assert metric_lines(folder) == lines
