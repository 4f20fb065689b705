"""What one node finds out alone, before it waits for others."""

from pathlib import Path

import pytest

from hrdet_cli.errors import DataError, HrdetError, OutputError, SpecError
from hrdet_cli.runs.node_check import check_node
from hrdet_cli.runs.preparation.launch import Resume
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.loading import load_spec


def check(
    folder: Path,
    *settings: str,
    keeps_folder: bool = True,
    resume: Resume = "never",
    num_processes: int | None = None,
) -> None:
    check_node(
        load_spec(preset="demo", settings=settings).spec,
        RunFolder(folder),
        keeps_folder=keeps_folder,
        resume=resume,
        overwrite=False,
        num_processes=num_processes,
    )


def taken(folder: Path) -> Path:
    for name in ("spec.yaml", "run.json"):
        (folder / name).touch()
    return folder


def test_only_the_first_node_looks_at_the_run_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="already holds a run; continue it with --resume"):
        check(taken(tmp_path))
    check(tmp_path, keeps_folder=False)
    check(tmp_path, resume="always")
    check(tmp_path / "new")
    with pytest.raises(OutputError, match="is not a run folder"):
        check(tmp_path / "new", resume="always")


def test_data_that_are_not_there_are_missed_and_demo_data_are_not_drawn(tmp_path: Path) -> None:
    root = f"data.root={tmp_path / 'data'}"
    check(tmp_path / "run", root)
    assert not (tmp_path / "data").exists()
    with pytest.raises(DataError, match=r"train\.json: does not exist; data\.train\."):
        check(tmp_path / "run", root, "data.demo=null")


def test_too_few_gpus_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(HrdetError, match="this node has 1 GPU, and each process needs one"):
        check(tmp_path, num_processes=2)
    check(tmp_path, "run.device=cpu", num_processes=2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SpecError, match="torch sees no GPU"):
        check(tmp_path, "run.device=cuda")
