"""Two processes time their exchanges and find out what differs between them."""

import io
import json
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist

from hrdet_cli.cli import doctor
from hrdet_cli.engine.distributed import diagnostics
from hrdet_cli.engine.distributed.diagnostics import measure_collectives
from hrdet_cli.runs.doctor import group
from hrdet_cli.runs.doctor.finding import Finding
from hrdet_cli.runs.doctor.group import examine_group
from tests.distributed.process_group import gloo_group, run_processes

HOSTS = ("node-a", "node-b")
TORCH_VERSIONS = ("2.11.0", "2.12.0")
SLOW_SECONDS = 0.02
LOW_LIMIT = Finding("open files", "64 (hard limit 64)", "problem", "raise the hard limit")


def versions_of(rank: int) -> dict[str, str | None]:
    return {"hrdet": "0.1.0", "torch": TORCH_VERSIONS[rank], "numpy": "2.0.0" if rank == 0 else None}


def work(rank: int, folder: str) -> None:
    """What each of two processes does; everything that needs two of them is in here."""
    torch.set_num_threads(1)
    with gloo_group(Path(folder, "store"), rank=rank, size=2):
        results = {"alike": examine_alike(), "different": examine_different(rank), "slow": measure_slow(rank)}
        Path(folder, f"{rank}.json").write_text(json.dumps(results))


def examine_alike() -> dict[str, Any]:
    machine = (Finding("cores", "2 of 2"),)
    return examine_group(torch.device("cpu"), machine=machine, hosts=HOSTS).to_json()


def examine_different(rank: int) -> dict[str, Any]:
    """As if the processes were on two machines, and norms went wrong on one of them."""
    with (
        patch.object(group, "installed_versions", lambda: versions_of(rank)),
        patch.object(group, "known_answer_error", lambda **_: (1e-7, 0.5)[rank]),
        patch.object(group, "measure_collectives", lambda _device: ()),
    ):
        machine = (LOW_LIMIT,) if rank == 1 else ()
        document = examine_group(torch.device("cpu"), machine=machine, hosts=HOSTS).to_json()
        printed = io.StringIO()
        with redirect_stdout(printed):
            document["has_problem"] = doctor.examine_and_show_group(HOSTS, run_dir=Path("runs"), as_json=True)
        return document | {"printed": printed.getvalue()}


def measure_slow(rank: int) -> list[list[float]]:
    """Exchanges that rank 1 comes late to; the fast rank must report the slow one's time."""
    real = dist.all_reduce

    def late(message: torch.Tensor) -> None:
        if rank == 1:
            time.sleep(SLOW_SECONDS)
        real(message)

    with (
        patch("torch.distributed.all_reduce", late),
        patch.object(diagnostics, "MESSAGE_BYTES", (1024,)),
        patch.object(diagnostics, "GRADIENT_BYTES", {"cpu": 4096}),
        patch.object(diagnostics, "BUDGET_SECONDS", 0.1),
    ):
        return [
            [timing.num_bytes, timing.median_seconds, timing.num_repetitions]
            for timing in measure_collectives(torch.device("cpu"))
        ]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("group")
    run_processes(work, str(folder), size=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def named(document: dict[str, Any], name: str) -> dict[str, str]:
    found: list[dict[str, str]] = [one for one in document["findings"] if one["name"] == name]
    assert len(found) == 1
    return found[0]


@pytest.mark.distributed
def test_every_process_knows_the_same_of_the_group(results: list[dict[str, Any]]) -> None:
    first, second = ({**result, "different": {**result["different"], "printed": None}} for result in results)
    assert first == second


@pytest.mark.distributed
def test_a_group_of_equals_has_nothing_to_mend(results: list[dict[str, Any]]) -> None:
    document = results[0]["alike"]
    assert [finding["status"] for finding in document["findings"]] == ["ok"] * 3
    assert named(document, "versions")["value"] == "the same on all ranks"
    assert named(document, "devices")["value"] == "CPU on all ranks"
    assert named(document, "SyncBN known answer")["value"].startswith("right for unequal sizes")
    assert [member["rank"] for member in document["members"]] == [0, 1]


@pytest.mark.distributed
def test_messages_are_timed_from_a_norm_s_to_all_gradients(results: list[dict[str, Any]]) -> None:
    timings = results[0]["alike"]["collectives"]
    assert [timing["num_bytes"] for timing in timings] == [4096, 65536, 1048576, 16777216]
    for timing in timings:
        seconds = timing["median_seconds"]
        assert 3 <= timing["num_repetitions"] <= 50
        assert timing["gigabytes_per_second"] == pytest.approx(timing["num_bytes"] / seconds / 1e9)
    assert timings[-1]["median_seconds"] > timings[0]["median_seconds"]


@pytest.mark.distributed
def test_a_slow_process_sets_the_time_and_the_number_of_repetitions(results: list[dict[str, Any]]) -> None:
    for (num_bytes, seconds, repetitions), expected in zip(results[0]["slow"], (1024, 4096), strict=True):
        assert num_bytes == expected
        assert seconds >= SLOW_SECONDS
        assert 3 <= repetitions <= 5  # what fits into 0.1 s


@pytest.mark.distributed
def test_versions_that_differ_are_named_with_ranks_and_hosts(results: list[dict[str, Any]]) -> None:
    document = results[0]["different"]
    torch_finding = named(document, "torch")
    assert torch_finding["status"] == "problem"
    assert torch_finding["value"] == "2.11.0 on rank 0 (node-a); 2.12.0 on rank 1 (node-b)"
    assert torch_finding["remedy"] == "install the same version of torch on every node"
    numpy_finding = named(document, "numpy")
    assert numpy_finding["status"] == "note"
    assert numpy_finding["value"] == "2.0.0 on rank 0 (node-a); missing on rank 1 (node-b)"
    assert "versions" not in [finding["name"] for finding in document["findings"]]


@pytest.mark.distributed
def test_one_machine_s_problem_and_a_wrong_known_answer_are_everybody_s(
    results: list[dict[str, Any]],
) -> None:
    document = results[0]["different"]
    assert named(document, "open files")["value"] == "rank 1 (node-b): 64 (hard limit 64)"
    known_answer = named(document, "SyncBN known answer")
    assert known_answer["status"] == "problem"
    assert known_answer["value"] == "wrong by 0.5, relative, on rank 1 (node-b)"
    assert document["has_problem"] is True


@pytest.mark.distributed
def test_only_rank_0_prints_and_prints_one_document(results: list[dict[str, Any]]) -> None:
    first, second = (result["different"]["printed"] for result in results)
    assert second == ""
    document = json.loads(first)
    assert document["members"] == results[0]["different"]["members"]
    assert [finding["name"] for finding in document["findings"]][:2] == ["torch", "numpy"]
