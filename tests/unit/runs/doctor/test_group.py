"""Members of a group compared, without any process."""

import math

import pytest

from hrdet_cli.runs.doctor.finding import Finding
from hrdet_cli.runs.doctor.group import (
    Member,
    collect_machine_findings,
    compare_members,
    judge_known_answer,
)

SMALL = Finding("shared memory", "64 MiB free of 64 MiB in /dev/shm", "problem", "give more")


def member(
    rank: int, host: str, *, torch: str = "2.11.0", device: str = "H100", findings: tuple[Finding, ...] = ()
) -> Member:
    return Member(rank, host, device, device, {"hrdet": "0.1.0", "torch": torch}, findings)


def test_ranks_of_one_host_are_named_together() -> None:
    members = (
        member(0, "a"),
        member(1, "a", torch="2.12.0"),
        member(2, "b", torch="2.12.0"),
        member(3, "b", torch="2.12.0"),
    )
    finding, _ = compare_members(members)
    assert finding.value == "2.11.0 on rank 0 (a); 2.12.0 on rank 1 (a) and ranks 2, 3 (b)"


def test_different_devices_are_a_problem_because_training_refuses_them() -> None:
    versions, devices = compare_members((member(0, "a"), member(1, "b", device="A100")))
    assert versions == Finding("versions", "the same on all ranks")
    assert (devices.status, devices.value) == ("problem", "H100 on rank 0 (a); A100 on rank 1 (b)")


def test_a_machine_s_finding_that_several_ranks_have_is_told_once() -> None:
    members = (member(0, "a", findings=(SMALL,)), member(1, "a", findings=(SMALL,)), member(2, "b"))
    (finding,) = collect_machine_findings(members)
    assert finding.value == "ranks 0, 1 (a): 64 MiB free of 64 MiB in /dev/shm"
    assert (finding.status, finding.remedy) == (SMALL.status, SMALL.remedy)


@pytest.mark.parametrize("error", [math.nan, math.inf, 0.23])
def test_one_rank_s_wrong_answer_is_a_problem_that_names_it(error: float) -> None:
    finding = judge_known_answer((member(0, "a"), member(1, "b")), [1e-7, error])
    assert finding.status == "problem"
    assert finding.value == f"wrong by {error:.2g}, relative, on rank 1 (b)"


def test_rounding_is_no_wrong_answer() -> None:
    finding = judge_known_answer((member(0, "a"), member(1, "b")), [1e-7, 3e-7])
    assert finding == Finding(
        "SyncBN known answer", "right for unequal sizes: largest relative error 3.0e-07"
    )
