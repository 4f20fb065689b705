"""Sums over processes that travel while these compute and exchange other things.

They have a group of their own beside the one of :mod:`.collectives`: a small message that everybody waits for
does not queue behind a large one that nobody waits for yet.
"""

from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.constants import default_pg_timeout

from hrdet_cli.engine.distributed.activity import collective, exchanging


class SideGroup:
    """A second connection of all processes; all open it, and begin the same sums, in the same order."""

    def __init__(self, device: torch.device) -> None:
        """Connect, and try the connection, which NCCL would else make in the middle of a backward pass.

        Args:
            device: Where the tensors of the sums will be.

        Raises:
            LostProcessError: A process is gone.
        """
        with collective("second connection of the processes"):
            group = dist.new_group(timeout=_timeout_of_default_group())
            self._group = cast("dist.ProcessGroup", group)  # of which every process is a member
            dist.all_reduce(torch.zeros(1, device=device), group=self._group)

    def start_sum(self, tensor: Tensor, *, what: str) -> "SumUnderWay":
        """Begin to replace a tensor by its sum over all processes.

        Args:
            tensor: Same shape and dtype on every process. Not to be touched before the sum is there.
            what: What is added up, for the watchdog.

        Raises:
            LostProcessError: A process is gone.
        """
        with exchanging(what):
            work = dist.all_reduce(tensor, group=self._group, async_op=True)
        return SumUnderWay(work, what)


class SumUnderWay:
    """A sum that is not there yet.

    It is counted when it is waited for and not when it begins: processes may begin it at different places
    between their other exchanges, and the watchdog compares counts.
    """

    def __init__(self, work: dist.Work, what: str) -> None:
        self._work = work
        self._what = what

    def wait(self) -> None:
        """Return when the sum is there; on a GPU, when whatever is computed next will find it there.

        Raises:
            LostProcessError: A process is gone.
        """
        with collective(self._what):
            self._work.wait()


def _timeout_of_default_group() -> timedelta:
    """How long an exchange may take; a new group would have torch's default, as one without options has."""
    group = dist.distributed_c10d._get_default_group()
    options = group._get_backend(torch.device("cpu")).options
    return default_pg_timeout if options is None else options._timeout
