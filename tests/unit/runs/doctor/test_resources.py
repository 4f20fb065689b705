"""What training needs, against what there is."""

from pathlib import Path

import pytest

from hrdet_cli.runs.doctor import resources
from hrdet_cli.runs.doctor.limits import Cores, Memory, OpenFiles, Space
from hrdet_cli.runs.doctor.resources import (
    examine_resources,
    judge_cores,
    judge_memory,
    judge_open_files,
    judge_run_folder,
    judge_shared_memory,
)
from hrdet_cli.runs.jobs.shared_memory import shared_bytes_per_node
from hrdet_cli.specs.loading import load_spec

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "num_processes", "status"),
    [
        (64 * 2**20, 1, "problem"),  # what docker gives by default
        (517 * 2**20, 1, "problem"),
        (518 * 2**20, 1, "ok"),
        (518 * 2**20, 2, "problem"),
        (8 * GIB, 8, "ok"),
    ],
)
def test_shared_memory_must_hold_the_batches_of_all_processes(
    free: int, num_processes: int, status: str
) -> None:
    finding = judge_shared_memory(Space(free=free, total=free), num_processes=num_processes)
    assert finding.status == status


def test_shared_memory_is_reckoned_as_for_a_job() -> None:
    spec = load_spec(preset=resources.SHARED_MEMORY_PRESET).spec
    assert shared_bytes_per_node(spec, num_gpus=1) == resources.SHARED_BYTES_PER_PROCESS


def test_too_little_shared_memory_says_how_much_is_needed_and_how_to_get_it() -> None:
    finding = judge_shared_memory(Space(free=60 * 2**20, total=64 * 2**20), num_processes=8)
    assert finding.value == "60 MiB free of 64 MiB in /dev/shm"
    assert "takes up to 4.0 GiB of it on this machine" in str(finding.remedy)
    assert "--shm-size=8g" in str(finding.remedy)
    assert "data.num_workers" in str(finding.remedy)


@pytest.mark.parametrize(
    ("soft", "hard", "status", "remedy"),
    [
        (64, 64, "problem", "raise the hard limit"),
        (255, 524288, "problem", "ulimit -n 4096"),
        (256, 2048, "note", "ulimit -n 2048"),
        (1024, 1024, "ok", "None"),
        (2**60, 2**60, "ok", "None"),
    ],
)
def test_a_low_open_file_limit_says_how_far_the_user_can_raise_it(
    soft: int, hard: int, status: str, remedy: str
) -> None:
    finding = judge_open_files(OpenFiles(soft=soft, hard=hard))
    assert finding.status == status
    assert remedy in str(finding.remedy)


def test_no_open_file_limit_is_called_none() -> None:
    assert judge_open_files(OpenFiles(soft=1024, hard=2**60)).value == "1024 (hard limit none)"


@pytest.mark.parametrize(
    ("usable", "total", "num_processes", "status", "value"),
    [
        (64, 64, 8, "ok", "64 of 64"),
        (2, 2, 1, "ok", "2 of 2"),
        (2, 64, 1, "ok", "2 of 64, limited by affinity or a container"),
        (8, 8, 8, "note", "8 of 8"),
        (1.5, 64, 1, "note", "1.5 of 64, limited by affinity or a container"),
    ],
)
def test_each_process_wants_a_core_beside_its_own_for_data(
    usable: float, total: int, num_processes: int, status: str, value: str
) -> None:
    finding = judge_cores(Cores(usable=usable, total=total), num_processes=num_processes)
    assert (finding.status, finding.value) == (status, value)


@pytest.mark.parametrize(
    ("usable", "status", "value"),
    [
        (1 * GIB, "problem", "1.0 GiB, limited by a container; the machine has 64 GiB"),
        (4 * GIB, "note", "4.0 GiB, limited by a container; the machine has 64 GiB"),
        (64 * GIB, "ok", "64 GiB"),
    ],
)
def test_memory_counts_what_a_container_allows(usable: int, status: str, value: str) -> None:
    finding = judge_memory(Memory(usable=usable, total=64 * GIB))
    assert (finding.status, finding.value) == (status, value)


@pytest.mark.parametrize(
    ("free", "status"), [(GIB - 1, "problem"), (5 * GIB, "note"), (10 * GIB, "ok")], ids=str
)
def test_a_run_folder_needs_room_for_checkpoints(tmp_path: Path, free: int, status: str) -> None:
    finding = judge_run_folder(tmp_path / "runs", Space(free=free, total=100 * GIB))
    assert finding.status == status
    assert str(tmp_path / "runs") in finding.value


def test_a_run_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = judge_run_folder(tmp_path / "file" / "runs", Space(free=100 * GIB, total=100 * GIB))
    assert finding.status == "problem"
    assert f"{tmp_path / 'file'} cannot be written to" in str(finding.remedy)


def test_a_machine_without_a_shared_memory_folder_has_no_such_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [finding.name for finding in examine_resources(num_processes=1, run_folder=tmp_path)]
    monkeypatch.setattr(resources, "SHARED_MEMORY", tmp_path / "missing")
    fewer = [finding.name for finding in examine_resources(num_processes=1, run_folder=tmp_path)]
    assert [name for name in names if name not in fewer] == ["shared memory"]
