"""What this process may use of its machine: cores, memory, shared memory, open files, disk.

A container may use less than its machine has.  Linux says so in control groups, of which there are two
versions; a limit holds for the group it is set on and for all groups below it.
"""

import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  where torch's data workers put their batches
_NO_LIMIT = 2**60
"""Version 1 of control groups writes 'no limit' as a huge number of bytes."""


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """The control groups this process is in.

    Attributes:
        membership: The file that lists them.
        mount: Where their settings are.
    """

    membership: Path = Path("/proc/self/cgroup")
    mount: Path = Path("/sys/fs/cgroup")

    def core_limit(self) -> float | None:
        """Processor time the groups allow, in cores; None without a limit."""
        limits = []
        for folder in self._folders("cpu"):
            words = _words(folder / "cpu.max")  # version 2: quota and period
            words = words or _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
            if len(words) == 2 and words[0] not in ("max", "-1"):
                limits.append(int(words[0]) / int(words[1]))
        return min(limits, default=None)

    def memory_limit_bytes(self) -> int | None:
        """Memory the groups allow; None without a limit."""
        limits = []
        for folder in self._folders("memory"):
            words = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
            if words and words[0] != "max" and int(words[0]) < _NO_LIMIT:
                limits.append(int(words[0]))
        return min(limits, default=None)

    def free_memory_bytes(self) -> int | None:
        """Memory the groups still allow, caches that they can drop included; None without a limit."""
        rooms = []
        for folder in self._folders("memory"):
            words = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
            used = _words(folder / "memory.current") or _words(folder / "memory.usage_in_bytes")
            if words and used and words[0] != "max" and int(words[0]) < _NO_LIMIT:
                statistics = _words(folder / "memory.stat")
                cached = dict(zip(statistics[::2], statistics[1::2], strict=False)).get("inactive_file", "0")
                rooms.append(int(words[0]) - int(used[0]) + int(cached))
        return min(rooms, default=None)

    def _folders(self, controller: str) -> list[Path]:
        """This process's group and all groups it is inside of."""
        if not self.membership.is_file():
            return []  # not Linux
        folders = []
        for line in self.membership.read_text("utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = self.mount / controller if controllers else self.mount
            path = root / group.lstrip("/")
            folders += [path, *(parent for parent in path.parents if parent.is_relative_to(root))]
        return folders


def _words(file: Path) -> list[str]:
    """Words of a settings file; none where the group is not visible from inside the container."""
    try:
        return file.read_text("utf-8").split()
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class Cores:
    """Processor cores.

    Attributes:
        usable: What this process may use, by affinity and control groups; can be a fraction.
        total: What the machine has.
    """

    usable: float
    total: int


def count_cores(groups: ControlGroups) -> Cores:
    """Cores this process may use."""
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    limit = groups.core_limit()
    return Cores(usable=allowed if limit is None else min(limit, allowed), total=total)


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory, in bytes; ``usable`` is what this process's control groups allow."""

    usable: int
    total: int


def measure_memory(groups: ControlGroups) -> Memory:
    """Memory this process may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Memory(usable=min(total, groups.memory_limit_bytes() or total), total=total)


def free_memory_bytes(groups: ControlGroups, machine: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that this machine and this process's control groups have left; None where nobody says."""
    words = _words(machine)
    rooms = [int(words[words.index("MemAvailable:") + 1]) * 1024] if "MemAvailable:" in words else []
    of_groups = groups.free_memory_bytes()
    return min([*rooms, *([] if of_groups is None else [of_groups])], default=None)


@dataclass(frozen=True, slots=True)
class Space:
    """Room on a file system, in bytes."""

    free: int
    total: int


def measure_space(folder: Path) -> Space:
    """Room where a folder is, or would be made."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return Space(free=usage.free, total=usage.total)


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """How many files this process may have open now (``soft``), and how many it may ask for (``hard``)."""

    soft: int
    hard: int


def open_file_limit() -> OpenFiles:
    """The limit on open files; a missing limit is a huge one."""
    soft, hard = (
        _NO_LIMIT if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    return OpenFiles(soft=soft, hard=hard)
