"""``hrdet inspect-batch``: what several processes would get, the page, and what must agree with training."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.conftest import FinishedRun, Hrdet, tiny_options


def test_each_rank_of_a_world_gets_its_share_of_the_same_steps(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    settings = ("data.batch_size_per_process=4", "padding.policy=batch")
    whole = hrdet(
        "inspect-batch", *tiny_options(finished_run.data_root, *settings), "--out", tmp_path, "--json"
    )
    halves = hrdet(
        "inspect-batch",
        *tiny_options(finished_run.data_root, "data.batch_size_per_process=2", "padding.policy=batch"),
        *("--world-size", "2", "--batches", "2", "--out", tmp_path, "--json"),
    )
    assert whole.exit_code == halves.exit_code == 0, halves.stderr
    (one,), parts = json.loads(whole.stdout)["batches"], json.loads(halves.stdout)["batches"]
    names = ["batch-1-rank-0.png", "batch-1-rank-1.png", "batch-2-rank-0.png", "batch-2-rank-1.png"]
    assert [Path(part["sheet"]).name for part in parts] == names
    assert [part["rank"] for part in parts] == [0, 1, 0, 1]
    assert one["pictures"] == parts[0]["pictures"] + parts[1]["pictures"]
    for part in parts:  # with this policy the canvas is each rank's own
        edges = zip(
            *([int(e) for e in picture["placed"].split("x")] for picture in part["pictures"]), strict=True
        )
        assert part["canvas"] == "x".join(str(-(-max(64, *edge) // 32) * 32) for edge in edges)


def test_only_sheets_and_a_page_are_written_and_all_are_named(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    options = [*tiny_options(finished_run.data_root), "--batches", "2", "--out", tmp_path / "out"]
    outcome = hrdet("inspect-batch", *options, "--json")
    files = [Path(file) for file in json.loads(outcome.stdout)["files"]]
    assert [file.name for file in files] == ["batch-1.png", "batch-2.png", "scales.png", "index.html"]
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    page = files[-1].read_text()
    assert page.count('src="data:image/jpeg;base64,') == 3
    assert "hrdet inspect-batch --preset demo" in page
    with Image.open(files[2]) as scales:
        assert scales.width <= 1600
    assert "Boxes at each scale" in hrdet("inspect-batch", *options).stdout  # and writing again is fine


def test_sheets_of_an_earlier_inspection_go_and_nothing_else(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    for name in ("batch-2.png", "batch-1-rank-1.png", "batch-x.png", "batch-2.pt", "mine.png"):
        (tmp_path / name).write_text("old")
    assert hrdet("inspect-batch", *tiny_options(finished_run.data_root), "--out", tmp_path).exit_code == 0
    written, kept = {"batch-1.png", "scales.png", "index.html"}, {"batch-x.png", "batch-2.pt", "mine.png"}
    assert {path.name for path in tmp_path.iterdir()} == written | kept


@pytest.mark.parametrize(
    "option", [("--batches", "1"), ("--epoch", "1"), ("--world-size", "1"), ("--seed", "0")]
)
def test_a_saved_batch_takes_no_option_of_a_spec(hrdet: Hrdet, option: tuple[str, str]) -> None:
    outcome = hrdet("inspect-batch", "--batch", "batch.pt", *option)
    assert outcome.exit_code == 2
    assert "--batch draws a saved batch; it goes with --out and --json only" in outcome.stderr


def test_a_seed_is_short_for_the_setting(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> None:
    def batches(*more: str) -> object:
        outcome = hrdet(
            "inspect-batch", *tiny_options(finished_run.data_root), *more, "--out", tmp_path, "--json"
        )
        return json.loads(outcome.stdout)["batches"]

    assert batches("--seed", "7") == batches("--set", "run.seed=7") != batches()
    outcome = hrdet("inspect-batch", "--preset", "demo", "--seed", "-1", "--out", tmp_path)
    assert outcome.exit_code == 2
    assert "run.seed" in outcome.stderr


@pytest.mark.parametrize("preset", ["hrnet-w18", "hrnet-w18-randresizecrop", "r50-fpn-mstrain-pad"])
def test_a_preset_whose_weights_are_not_there_is_inspected(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, preset: str
) -> None:
    root = finished_run.data_root
    data = [root / "train.json", root / "images.zip"]
    outcome = hrdet("inspect-batch", "--preset", preset, "--train-data", *data, "--out", tmp_path, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    summary = json.loads(outcome.stdout)["summary"]
    assert summary["num_steps"] == summary["num_steps_in_epoch"]
    assert sum(scale["share_of_pictures"] for scale in summary["scales"]) == pytest.approx(1)
    assert sum(canvas["share_of_batches"] for canvas in summary["canvases"]) == pytest.approx(1)


def test_an_out_that_is_a_file_is_refused_before_any_work(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    outcome = hrdet("inspect-batch", *tiny_options(finished_run.data_root), "--out", tmp_path / "taken")
    assert outcome.exit_code == 5
    assert f"{tmp_path / 'taken'}: cannot be written to" in outcome.stderr
