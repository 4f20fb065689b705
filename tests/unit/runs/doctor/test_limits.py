"""Control groups as files in a folder, and limits of this very process."""

import os
import resource
from pathlib import Path

import pytest

from hrdet_cli.runs.doctor.limits import (
    ControlGroups,
    count_cores,
    free_memory_bytes,
    measure_memory,
    measure_space,
    open_file_limit,
)


def groups_in(root: Path, membership: str, settings: dict[str, str]) -> ControlGroups:
    (root / "membership").write_text(membership)
    for name, value in settings.items():
        file = root / "mount" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return ControlGroups(membership=root / "membership", mount=root / "mount")


def test_the_tightest_limit_of_the_group_and_its_parents_holds(tmp_path: Path) -> None:
    settings = {
        "job/step/cpu.max": "max 100000",
        "job/cpu.max": "150000 100000",
        "other/cpu.max": "10000 100000",
        "job/step/memory.max": "9000",
        "job/memory.max": "5000",
        "other/memory.max": "10",
    }
    groups = groups_in(tmp_path, "0::/job/step\n", settings)
    assert groups.core_limit() == 1.5
    assert groups.memory_limit_bytes() == 5000


def test_version_1_groups_have_a_folder_for_each_controller(tmp_path: Path) -> None:
    settings = {
        "cpu/box/cpu.cfs_quota_us": "50000",
        "cpu/box/cpu.cfs_period_us": "100000",
        "memory/cage/memory.limit_in_bytes": "7000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    membership = "5:cpu,cpuacct:/box\n4:memory:/cage\n3:freezer:/\n0::/\n"
    groups = groups_in(tmp_path, membership, settings)
    assert groups.core_limit() == 0.5
    assert groups.memory_limit_bytes() == 7000


def test_a_container_sees_its_own_group_at_the_root_whatever_its_path_says(tmp_path: Path) -> None:
    membership = "4:memory:/docker/0123abcd\n"
    groups = groups_in(tmp_path, membership, {"memory/memory.limit_in_bytes": "7000"})
    assert groups.memory_limit_bytes() == 7000


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cpu.max": "max 100000", "memory.max": "max"},
        {
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
    ],
    ids=["nothing to read", "version 2", "version 1"],
)
def test_no_limit_is_none_and_leaves_the_whole_machine(tmp_path: Path, settings: dict[str, str]) -> None:
    groups = groups_in(tmp_path, "2:cpu,cpuacct:/\n1:memory:/\n0::/\n", settings)
    assert groups.core_limit() is None
    assert groups.memory_limit_bytes() is None
    memory = measure_memory(groups)
    assert memory.usable == memory.total


def test_cores_are_limited_by_affinity_and_by_groups(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    free = groups_in(tmp_path, "0::/\n", {})
    assert count_cores(free).usable == len(allowed)
    assert count_cores(free).total == os.cpu_count()
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores(free).usable == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores(groups_in(tmp_path, "0::/\n", {"cpu.max": "25000 100000"})).usable == 0.25


def test_the_open_file_limit_is_that_of_this_process() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (123, hard))
    try:
        assert open_file_limit().soft == 123
        assert open_file_limit().hard == (hard if hard != resource.RLIM_INFINITY else 2**60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_folder_that_is_not_there_yet_has_the_room_of_where_it_would_be(tmp_path: Path) -> None:
    numbers = os.statvfs(tmp_path)
    space = measure_space(tmp_path / "runs" / "mine")
    assert space.total == numbers.f_blocks * numbers.f_frsize
    assert 0 < space.free <= space.total


def test_memory_that_is_left_is_the_least_of_machine_and_groups_with_caches(
    tmp_path: Path,
) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:  99 kB\nMemFree:  1 kB\nMemAvailable:  8 kB\nBuffers: 3 kB\n")
    settings = {
        "job/memory.max": "9000",
        "job/memory.current": "6000",
        "job/memory.stat": "anon 5000\ninactive_file 700\nactive_file 300",
        "memory.max": "max",
        "memory.current": "100",
    }
    groups = groups_in(tmp_path, "0::/job\n", settings)
    assert groups.free_memory_bytes() == 9000 - 6000 + 700
    assert free_memory_bytes(groups, machine) == 3700
    machine.write_text("MemAvailable:  2 kB\n")
    assert free_memory_bytes(groups, machine) == 2048


def test_where_nobody_says_what_is_left_nothing_is_promised(tmp_path: Path) -> None:
    groups = groups_in(tmp_path, "0::/job\n", {"job/memory.max": "max"})
    assert free_memory_bytes(groups, tmp_path / "nowhere") is None
