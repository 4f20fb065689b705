"""Findings on what the machine, or a container on it, leaves to training."""

import os
from pathlib import Path

from hrdet_cli.runs.doctor.finding import Finding, Status, format_bytes
from hrdet_cli.runs.doctor.limits import (
    SHARED_MEMORY,
    ControlGroups,
    Cores,
    Memory,
    OpenFiles,
    Space,
    count_cores,
    measure_memory,
    measure_space,
    open_file_limit,
)
from hrdet_cli.runs.worker_rings import BYTES_PER_PIXEL, shared_bytes_per_process

SHARED_MEMORY_PRESET = "hrnet-w18-mstrain-pad"
"""A run with large batches, whose data workers there must be room for."""
SHARED_BYTES_PER_PROCESS = shared_bytes_per_process(
    num_workers=4,
    training_bytes=4 * 1600 * 1024 * BYTES_PER_PIXEL,
    evaluation_bytes=1344 * 800 * BYTES_PER_PIXEL,
)
"""Of that preset, which is not read here: whoever asks for a doctor may lack what reads it."""
MIN_OPEN_FILES, GOOD_OPEN_FILES = 256, 1024
"""A batch in shared memory holds a file open for each of its tensors; a GPU and a group hold many more."""
MIN_MEMORY_BYTES, GOOD_MEMORY_BYTES = 2 * 2**30, 8 * 2**30
"""Of main memory: training the demo on a CPU takes 1.1 GiB without data workers and without evaluation."""
MIN_DISK_BYTES, GOOD_DISK_BYTES = 2**30, 10 * 2**30
"""A checkpoint takes 8 bytes a parameter, 0.2 GiB for W18 and 0.5 GiB for W40; a run keeps 5 to 11."""


def examine_resources(*, num_processes: int, run_folder: Path) -> list[Finding]:
    """Findings on cores, memory, shared memory, open files and disk.

    Args:
        num_processes: Training processes this machine will have: one for each GPU, or one.
        run_folder: Where runs will be written; need not exist.
    """
    groups = ControlGroups()
    findings = [
        judge_cores(count_cores(groups), num_processes=num_processes),
        judge_memory(measure_memory(groups)),
        judge_open_files(open_file_limit()),
        judge_run_folder(run_folder, measure_space(run_folder)),
    ]
    if SHARED_MEMORY.is_dir():  # elsewhere than on Linux, shared memory has no folder and no size of its own
        findings.insert(2, judge_shared_memory(measure_space(SHARED_MEMORY), num_processes=num_processes))
    return findings


def judge_cores(cores: Cores, *, num_processes: int) -> Finding:
    """Enough cores for each process and its data workers?"""
    value = f"{cores.usable:g} of {cores.total}"
    if cores.usable < cores.total:
        value += ", limited by affinity or a container"
    if cores.usable < 2 * num_processes:
        remedy = (
            f"{num_processes} training process{'es' if num_processes > 1 else ''} and the data workers would "
            "take turns: allow more cores (docker --cpus, Slurm --cpus-per-task), or lower data.num_workers"
        )
        return Finding("cores", value, "note", remedy)
    return Finding("cores", value)


def judge_memory(memory: Memory) -> Finding:
    """Enough main memory?"""
    value = format_bytes(memory.usable)
    if memory.usable < memory.total:
        value += f", limited by a container; the machine has {format_bytes(memory.total)}"
    status = _judge(memory.usable, least=MIN_MEMORY_BYTES, good=GOOD_MEMORY_BYTES)
    remedy = (
        "too little may end a process without a word: allow more (docker --memory, Slurm --mem), or lower "
        "data.num_workers and data.batch_size_per_process"
    )
    return Finding("memory", value, status, None if status == "ok" else remedy)


def judge_shared_memory(space: Space, *, num_processes: int) -> Finding:
    """Enough shared memory for the batches that data workers hand over?"""
    needed = SHARED_BYTES_PER_PROCESS * num_processes
    value = f"{format_bytes(space.free)} free of {format_bytes(space.total)} in {SHARED_MEMORY}"
    if space.free >= needed:
        return Finding("shared memory", value)
    remedy = (
        f"a run of {SHARED_MEMORY_PRESET} takes up to {format_bytes(needed)} of it on this machine, and ends "
        "where there is no room: give the container more (docker --shm-size=8g or --ipc=host; Kubernetes: an "
        "emptyDir of medium Memory at /dev/shm), or lower data.num_workers"
    )
    return Finding("shared memory", value, "problem", remedy)


def judge_open_files(limit: OpenFiles) -> Finding:
    """Enough open files?"""
    status = _judge(limit.soft, least=MIN_OPEN_FILES, good=GOOD_OPEN_FILES)
    value = f"{_count(limit.soft)} (hard limit {_count(limit.hard)})"
    if status == "ok":
        return Finding("open files", value)
    if limit.hard >= GOOD_OPEN_FILES:
        remedy = f"data workers hold many open: ulimit -n {min(limit.hard, 4096)}"
    else:
        remedy = (
            "data workers hold many open: raise the hard limit (nofile in /etc/security/limits.conf, "
            "LimitNOFILE= of a service, docker --ulimit nofile=4096)"
        )
    return Finding("open files", value, status, remedy)


def judge_run_folder(folder: Path, space: Space) -> Finding:
    """Can runs be written, and is there room for their checkpoints?"""
    value = f"{format_bytes(space.free)} free of {format_bytes(space.total)} for {folder.absolute()}"
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        remedy = f"{existing} cannot be written to: choose another --run-dir"
        return Finding("run folder", value, "problem", remedy)
    status = _judge(space.free, least=MIN_DISK_BYTES, good=GOOD_DISK_BYTES)
    remedy = "the checkpoints of a run take 1 to 4 GiB: make room or choose another --run-dir"
    return Finding("run folder", value, status, None if status == "ok" else remedy)


def _judge(amount: int, *, least: int, good: int) -> Status:
    if amount < least:
        return "problem"
    return "note" if amount < good else "ok"


def _count(limit: int) -> str:
    return str(limit) if limit < 2**40 else "none"
