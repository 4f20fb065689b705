"""Whatever ends a run, it goes on to the very same weights, and one command line starts and continues it."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from hrdet_cli.engine.data.step_layout import BatchRequest
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import open_training_data
from hrdet_cli.specs.loading import load_spec
from tests.forked import ForkedHrdet
from tests.integration.conftest import (
    FinishedRun,
    Hrdet,
    metric_lines,
    run_hrdet,
    tiny_options,
    unpacked_options,
)

pytestmark = pytest.mark.slow


def step_lines(folder: Path) -> list[dict[str, Any]]:
    return [line for line in metric_lines(folder) if line["kind"] == "step"]


def checkpoint_of(folder: Path, name: str = "last.pt") -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "checkpoints" / name, weights_only=True)
    return state


def assert_same_run(folder: Path, expected: Path) -> None:
    """The same weights bit for bit, and each step once with the same losses."""
    found, wanted = checkpoint_of(folder)["model"], checkpoint_of(expected)["model"]
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    steps = [[(line["step"], line["losses"]) for line in step_lines(path)] for path in (folder, expected)]
    assert steps[0] == steps[1]


@contextmanager
def running(folder: Path, *options: str) -> Iterator[ForkedHrdet]:
    """``hrdet train`` in a process group of its own, which is gone afterwards."""
    process = ForkedHrdet("train", *options, "--run-dir", folder)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(is_so: Callable[[], bool], process: ForkedHrdet) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("minutes", ["10", "0.0001"])
def test_killed_in_its_first_epoch_a_run_goes_on_with_the_command_that_started_it(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, minutes: str
) -> None:
    folder = tmp_path / "run"
    setting = f"run.checkpoint_every_minutes={minutes}"
    command = [*tiny_options(finished_run.data_root, setting), "--auto-resume"]
    with running(folder, *command) as process:
        wait_until(lambda: len(step_lines(folder)) >= 4, process)
        process.kill()
    saved = folder / "checkpoints" / "last.pt"
    assert saved.is_file() == (minutes != "10")
    outcome = hrdet("train", *command, "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    if minutes == "10":
        assert f"{folder} has no checkpoint yet: begins with the first step once more" in outcome.stdout
    else:
        assert f"goes on from {saved} after step" in outcome.stdout
    assert_same_run(folder, finished_run.folder)
    assert len(json.loads((folder / "run.json").read_text())["launches"]) == 2
    assert not list(folder.rglob("*.tmp")) + list(folder.rglob("*.partial")) + list(folder.glob("run.lock"))


def test_killed_while_its_folder_is_made_a_run_begins_there(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    for part in ("checkpoints", "logs"):
        (folder / part).mkdir(parents=True)
    (folder / "run.lock").write_text("{")
    short = ("optimisation.num_epochs=1", "evaluation.every_num_epochs=0")
    outcome = hrdet("train", *tiny_options(finished_run.data_root, *short), "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr


def test_what_is_lost_or_damaged_beside_the_checkpoints_is_written_again(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    for number, (name, damage) in enumerate(
        [("run.json", None), ("run.json", "{"), ("spec.yaml", None), ("spec.yaml", "name: demo\n")]
    ):
        folder = tmp_path / str(number)
        shutil.copytree(finished_run.folder, folder)
        if damage is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(damage)
        outcome = hrdet("train", "--resume", "--run-dir", folder)
        assert outcome.exit_code == 0, outcome.stderr
        assert f"{name}: was missing or damaged, and " in outcome.stdout + outcome.stderr
        assert (folder / "spec.yaml").read_text() == (finished_run.folder / "spec.yaml").read_text()
        launches = json.loads((folder / "run.json").read_text())["launches"]
        assert len(launches) == 2
        assert launches[0] == json.loads((finished_run.folder / "run.json").read_text())["launches"][0]


def test_a_spec_changed_by_hand_is_noticed_by_what_the_checkpoint_says(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder)
    text = (folder / "spec.yaml").read_text()
    (folder / "spec.yaml").write_text(text.replace("base_learning_rate: 0.04", "base_learning_rate: 0.05"))
    outcome = hrdet("train", "--resume", "--run-dir", folder, "--set", "optimisation.num_epochs=3")
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(
        "error: optimisation.base_learning_rate: is 0.04 in "
        f"{folder}/checkpoints/last.pt, but 0.05 was asked for"
    )


def test_a_folder_in_use_is_refused_with_its_user_and_nothing_is_lost(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    settings = ("optimisation.num_epochs=500", "run.checkpoint_every_minutes=0.0001")
    options = tiny_options(finished_run.data_root, *settings)
    with running(folder, *options) as process:
        wait_until(lambda: (folder / "checkpoints" / "last.pt").is_file(), process)
        process.send_signal(signal.SIGSTOP)  # so that it does not take the time that the others need
        for other in (["--resume"], ["--overwrite", *options]):
            refused = run_hrdet("train", *other, "--run-dir", str(folder))
            assert refused.returncode == 5
            assert f"error: {folder}: is in use by process {process.pid} on " in refused.stderr
        process.send_signal(signal.SIGCONT)
        done = run_hrdet("eval", str(folder))
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    steps = [line["step"] for line in step_lines(folder)]
    assert steps == list(range(1, len(steps) + 1))
    assert not (folder / "run.lock").exists()


def test_only_the_newest_checkpoints_of_epochs_are_kept(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    settings = ("run.num_epoch_checkpoints=1", "evaluation.every_num_epochs=0")
    outcome = hrdet("train", *tiny_options(finished_run.data_root, *settings), "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.pt", "epoch-002.pt"}


def break_picture_of_step(root: Path, options: list[str], *, step: int, world: World) -> str:
    """Cut off the first picture that a process trains on in a step of the first epoch; returns its name."""
    settings = [option for option in options if "=" in option]
    spec = load_spec(preset="demo", settings=settings).spec
    part = open_training_data(spec.data).train
    loader = build_training_loader(spec, part, torch.device("cpu"), world=world)
    request: BatchRequest = [*loader.steps.requests(0, world)][step - 1]
    name = str(part.annotations.file_names[request.indices[0]])
    file = root / "images" / name
    file.write_bytes(file.read_bytes()[:200])
    return name


@pytest.mark.distributed
def test_a_broken_picture_on_another_rank_ends_all_after_the_same_step_with_a_checkpoint(
    unpacked: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = unpacked_options(unpacked, "data.batch_size_per_process=1")
    name = break_picture_of_step(unpacked, options, step=4, world=World(rank=1, size=2))
    done = run_hrdet("train", *options, "--run-dir", str(folder), "--processes-per-node", "2")
    assert done.returncode == 3, done.stderr
    assert name in done.stderr
    assert "rank 1 on " in done.stderr
    assert "The run can go on (with the same options for processes)." in done.stderr
    assert done.stderr.count("--set data.broken_pictures=skip") == 1
    assert "Traceback" not in done.stderr
    state = checkpoint_of(folder)
    assert (state["step"], state["step_in_epoch"]) == (3, 3)
    assert [line["step"] for line in step_lines(folder)] == [1, 2, 3]


def test_a_broken_picture_may_be_skipped_and_is_named_once(
    unpacked: Path, tmp_path: Path, hrdet: Hrdet
) -> None:
    folder = tmp_path / "run"
    options = unpacked_options(unpacked, "data.broken_pictures=skip", "evaluation.every_num_epochs=0")
    name = break_picture_of_step(unpacked, options, step=3, world=World(rank=0, size=1))
    outcome = hrdet("train", *options, "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.count(name) == 1
    assert "another picture takes the place of a broken one" in outcome.stdout
    (broken,) = json.loads((folder / "run.json").read_text())["broken_pictures"].items()
    assert broken[0] == name
    assert name in broken[1]
    counts = [line["num_broken_pictures"] for line in step_lines(folder)]
    assert counts[:3] == [0, 0, 1]
    assert sum(counts) >= 2, "it comes once in each of two epochs"
