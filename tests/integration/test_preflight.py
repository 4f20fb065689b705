"""What happens before the first step: the largest one is tried, or looked for."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch, Targets
from tests.integration.conftest import ONE_EPOCH, FinishedRun, Hrdet, tiny_options

UNSCORED_EPOCH = (*ONE_EPOCH, "evaluation.every_num_epochs=0")
Room = Callable[[int], None]


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Room:
    """Pretends that a training step has memory for so many pictures and no more."""
    forward = Detector.forward

    def limit(num_pictures: int) -> None:
        def limited(model: Detector, images: ImageBatch, targets: Targets) -> dict[str, torch.Tensor]:
            if len(images.sizes) > num_pictures:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(model, images, targets)

        monkeypatch.setattr(Detector, "forward", limited)

    return limit


def launch_of(folder: Path) -> dict[str, Any]:
    launch: dict[str, Any] = json.loads((folder / "run.json").read_text())["launches"][0]
    return launch


def test_the_largest_step_is_told_at_the_start_and_kept_in_the_record(finished_run: FinishedRun) -> None:
    step = launch_of(finished_run.folder)["largest_step"]
    assert (step["canvas"], step["num_pictures"], step["num_box_rows"]) in [
        ("160x128", 2, 8),
        ("128x160", 2, 8),
    ]
    assert step["peak_memory_bytes"] > 2**27, "torch alone takes more"
    assert 0 < step["seconds"] < 60
    gib = f"{step['peak_memory_bytes'] / 2**30:.1f} GiB, {step['seconds']:.1f} s\n"
    assert f"largest step, tried and undone: {step['canvas']}, 2 pictures, 8 rows of boxes: {gib}" in (
        finished_run.stdout
    )


@pytest.mark.slow
def test_a_run_ends_with_the_same_bits_as_one_that_tried_nothing(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrdet_cli.runs.preparation.preparation.rehearse_largest_step", lambda _: iter(()))
    folder = tmp_path / "run"
    outcome = hrdet("train", *tiny_options(finished_run.data_root, *UNSCORED_EPOCH), "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "largest step" not in outcome.stdout
    ends = [torch.load(run / "checkpoints" / "epoch-001.pt") for run in (folder, finished_run.folder)]
    assert all(torch.equal(ends[0]["model"][key], ends[1]["model"][key]) for key in ends[1]["model"])
    momenta = [[s["momentum_buffer"] for s in end["optimiser"]["state"].values()] for end in ends]
    assert all(torch.equal(one, other) for one, other in zip(*momenta, strict=True))


def test_too_little_memory_is_said_before_the_first_step_with_the_batch_that_would_fit(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, room_for: Room
) -> None:
    room_for(5)
    options = tiny_options(finished_run.data_root, "data.batch_size_per_process=8")
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 9
    assert "does not fit into the memory of this machine: 8 pictures on a canvas of " in outcome.stderr
    assert (
        "with 8 rows of boxes each. 5 would fit: --set data.batch_size_per_process=5; to keep 8, try "
        "--set model.activation_checkpointing=true, or smaller augmentation.scales_pixels and padding\n"
    ) in outcome.stderr
    assert not (tmp_path / "run").exists(), "a run that never began must not be in the way of the next try"


def test_it_is_said_where_not_even_one_picture_fits_and_no_remedy_that_is_taken_already(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, room_for: Room
) -> None:
    room_for(0)
    settings = ("data.batch_size_per_process=2", "model.activation_checkpointing=true")
    options = tiny_options(finished_run.data_root, *settings)
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 9
    assert outcome.stderr.endswith(
        "Not even one picture does; try smaller augmentation.scales_pixels and padding\n"
    )


def test_a_step_that_a_cpu_has_no_memory_for_is_not_even_tried(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_for: Room
) -> None:
    room_for(1)  # the small ones that it is forecast from
    monkeypatch.setattr("hrdet_cli.runs.preflight.FEWEST_PIXELS", 1)
    monkeypatch.setattr("hrdet_cli.runs.preflight.free_memory_bytes", lambda _: 0)
    monkeypatch.setattr("hrdet_cli.runs.preflight.resident_memory_bytes", lambda: 2**20)
    outcome = hrdet("train", *tiny_options(finished_run.data_root), "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 9
    assert (
        "Not even one picture does; try --set model.activation_checkpointing=true, or smaller"
        in outcome.stderr
    )
    assert "of 0.0 GiB. It was not tried: the system would kill the process.\n" in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_a_large_step_on_a_cpu_is_forecast_and_with_it_the_time_of_the_run(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrdet_cli.runs.preflight.FEWEST_PIXELS", 1)
    outcome = hrdet(
        "train", *tiny_options(finished_run.data_root, *UNSCORED_EPOCH), "--run-dir", tmp_path / "run"
    )
    assert outcome.exit_code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    (forecast,) = [line for line in lines if line.startswith("trying the largest step once: ")]
    assert re.search(r"2 pictures; on this CPU it takes about \d+ s and \d\.\d GiB$", forecast)
    assert any(re.match(r"on this CPU an epoch takes about \d+ s, and the run \d+ s", line) for line in lines)
    ends = [
        torch.load(run / "checkpoints" / "epoch-001.pt") for run in (tmp_path / "run", finished_run.folder)
    ]
    assert all(torch.equal(ends[0]["model"][key], ends[1]["model"][key]) for key in ends[1]["model"])


@pytest.mark.slow
def test_auto_becomes_the_number_that_fits_in_the_plan_and_in_the_saved_spec(
    finished_run: FinishedRun,
    hrdet: Hrdet,
    tmp_path: Path,
    room_for: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room_for(5)
    monkeypatch.setattr("hrdet_cli.runs.preflight._require_gpu", lambda _: None)
    monkeypatch.setattr("hrdet_cli.runs.preflight._occupy", lambda *_: torch.zeros(1))
    options = tiny_options(finished_run.data_root, "data.batch_size_per_process=auto", *UNSCORED_EPOCH)
    folder = tmp_path / "run"
    outcome = hrdet("train", *options, "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "data.batch_size_per_process is auto: 5 pictures fit on each process" in outcome.stdout
    assert yaml.safe_load((folder / "spec.yaml").read_text())["data"]["batch_size_per_process"] == 5
    plan = launch_of(folder)["plan"]
    assert (plan["batch_size"], plan["finds_batch_size"]) == (5, False)
    assert plan["learning_rate"] == pytest.approx(0.04 * 5 / 4)
    outcome = hrdet("train", "--resume", "--run-dir", folder, "--set", "optimisation.num_epochs=2")
    assert outcome.exit_code == 0, outcome.stderr
    assert "is auto" not in outcome.stdout


def test_auto_needs_a_gpu(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> None:
    options = tiny_options(finished_run.data_root, "data.batch_size_per_process=auto", "run.device=cpu")
    outcome = hrdet("train", *options, "--run-dir", tmp_path / "run")
    assert outcome.exit_code == 2
    assert "data.batch_size_per_process: auto finds what fits on a GPU" in outcome.stderr
    assert outcome.stderr.endswith("Give a number\n")


def test_a_dry_run_says_that_the_batch_is_still_to_be_found(finished_run: FinishedRun, hrdet: Hrdet) -> None:
    options = tiny_options(finished_run.data_root, "data.batch_size_per_process=auto")
    outcome = hrdet("train", *options, "--dry-run")
    assert outcome.exit_code == 0
    assert "auto: the most that fit on the GPU, found before epoch 1; all figures here are of 1 on each" in (
        " ".join(outcome.stdout.split())
    )
    plan = json.loads(hrdet("train", *options, "--dry-run", "--json").stdout)["plan"]
    assert plan["finds_batch_size"]


def test_commands_that_only_look_at_batches_ask_for_a_number(finished_run: FinishedRun, hrdet: Hrdet) -> None:
    options = tiny_options(finished_run.data_root, "data.batch_size_per_process=auto")
    outcome = hrdet("benchmark-pad", *options)
    assert outcome.exit_code == 2
    assert "add --set data.batch_size_per_process=N" in outcome.stderr
