"""A script that a launcher started in several processes."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NoReturn

import torch
import torch.distributed as dist

from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.environment import (
    DEFAULT_PORT,
    DEFAULT_TIMEOUT_SECONDS,
    detect_membership,
)
from hrdet_cli.engine.distributed.group import joined_group
from hrdet_cli.engine.distributed.world import World, current_world
from hrdet_cli.errors import GroupError, HrdetError


@contextmanager
def process_group(
    *, device: Literal["auto", "cpu"] = "auto", timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> Iterator[World]:
    """Join the processes that torchrun, Slurm or Open MPI started, so that all train or evaluate together.

    All calls of `train` and `evaluate` go inside, in the same order in every process, and a script has one
    such block. A process that was started alone is a group of one, so the same script runs without a
    launcher. A script that has called ``torch.distributed.init_process_group`` itself needs no such block.

    An error of one process ends all of them with the same words. Where another process is lost, this one may
    wait for it in an exchange that cannot be left: it then writes why to stderr and ends with an exit code,
    8 for a lost process.

    Args:
        device: ``"auto"`` takes the GPU of the process's number on its node where there are GPUs.
        timeout_seconds: For processes to come, and for one exchange between them.

    Yields:
        This process's place: ``rank`` of ``size``.

    Raises:
        GroupError: Processes do not come or contradict each other.
        LostProcessError: A process is gone; the message names it.
    """
    membership = None if dist.is_initialized() else detect_membership(os.environ, default_port=DEFAULT_PORT)
    if membership is None:
        yield current_world()
        return
    with joined_group(
        membership,
        device_type="cuda" if device == "auto" and torch.cuda.is_available() else "cpu",
        timeout_seconds=timeout_seconds,
        abort=_end,
    ):
        yield current_world()


def require_group() -> None:
    """Processes that a launcher started must have joined before they do something together.

    Raises:
        GroupError: They have not, or their group cannot exchange what lies in host memory.
    """
    if dist.is_initialized():
        if "cpu:" not in dist.get_backend_config():
            raise GroupError(
                "torch.distributed was initialised for GPUs alone, and hrdet exchanges tensors in host "
                "memory too: use init_process_group('cpu:gloo,cuda:nccl') or hrdet.process_group()"
            )
        return
    membership = detect_membership(os.environ, default_port=DEFAULT_PORT)
    if membership is not None and membership.size > 1:
        raise GroupError(
            f"{membership.started_by} started {membership.size} processes, which have not joined each other: "
            "put the call inside `with hrdet.process_group():`"
        )


def hosts_by_rank() -> tuple[str, ...]:
    """Name of each process's node."""
    return tuple(gather_everywhere(socket.gethostname(), what="names of the hosts"))


def _end(error: HrdetError) -> NoReturn:
    """Another thread's way to end this process, whose own may wait in an exchange for ever."""
    sys.stderr.write(f"error: {error}\n")
    sys.stderr.flush()
    os._exit(error.exit_code)
