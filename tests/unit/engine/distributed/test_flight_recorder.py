"""NCCL's traces go into the run's folder, and torch's own tool finds the rank that is missing in them."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.engine.distributed.flight_recorder import FlightRecorder


def entry(number: int, *, size: int) -> dict[str, Any]:
    """A collective as torch 2.14 records it."""
    return {
        "record_id": number - 1,
        "pg_id": 0,
        "process_group": ("0", "default_pg"),
        "collective_seq_id": number,
        "p2p_seq_id": 0,
        "op_id": number,
        "profiling_name": "nccl:all_reduce",
        "time_created_ns": number,
        "input_sizes": [[size]],
        "input_dtypes": ["Float"],
        "output_sizes": [[size]],
        "output_dtypes": ["Float"],
        "state": "completed",
        "time_discovered_started_ns": None,
        "time_discovered_completed_ns": None,
        "retired": True,
        "timeout_ms": 600000,
        "is_p2p": False,
        "frames": [],
    }


def trace(*sizes: int) -> bytes:
    """What a rank has that made an all-reduce of each size."""
    document = {
        "version": "2.10",
        "pg_config": {"0": {"name": "0", "desc": "default_pg", "ranks": "[0, 1]"}},
        "pg_status": {},
        "entries": [entry(number, size=size) for number, size in enumerate(sizes, start=1)],
    }
    return pickle.dumps(document)


def write_traces(folder: Path, *traces: bytes) -> FlightRecorder:
    for rank, content in enumerate(traces):
        (folder / f"nccl-trace-rank-{rank}").write_bytes(content)
    (folder / "rank-0.log").write_text("another file")
    return FlightRecorder(folder, rank=0, size=2)


def test_torch_names_the_rank_that_did_not_come(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recorder = write_traces(tmp_path, trace(4, 8, 16), trace(4, 8))
    found = recorder.analyse(wait_seconds=0)
    assert found is not None
    assert found.startswith("Not all ranks joining collective, sequence number: 3")
    assert "missing ranks: {1}" in found
    assert "\n" not in found
    assert capfd.readouterr() == ("", "")


def test_traces_without_a_difference_have_nothing_to_tell(tmp_path: Path) -> None:
    assert write_traces(tmp_path, trace(4, 8), trace(4, 8)).analyse(wait_seconds=0) is None


def test_a_trace_that_is_missing_is_waited_for_and_then_done_without(tmp_path: Path) -> None:
    assert write_traces(tmp_path, trace(4)).analyse(wait_seconds=0.05) is None


def test_torch_records_and_writes_into_the_folder(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    recorder = write_traces(tmp_path, trace(4), trace(4))
    recorder.prepare(environ)
    assert environ == {
        "TORCH_FR_BUFFER_SIZE": "2000",
        "TORCH_FR_DUMP_TEMP_FILE": f"{tmp_path}/nccl-trace-rank-",
        "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
    }
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"nccl-trace-rank-1", "rank-0.log"}, "a rank removes the trace of a launch before, its own"


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    mine = {
        "TORCH_NCCL_TRACE_BUFFER_SIZE": "50",
        "TORCH_NCCL_DEBUG_INFO_TEMP_FILE": "/mine",
        "TORCH_NCCL_DUMP_ON_TIMEOUT": "0",
    }
    environ = dict(mine)
    FlightRecorder(tmp_path, rank=0, size=2).prepare(environ)
    assert environ == mine
