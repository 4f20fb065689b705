"""Joining the group of all processes, and leaving it together."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore

from hrdet_cli.engine.distributed.activity import enter_phase
from hrdet_cli.engine.distributed.collectives import wait_for_all
from hrdet_cli.engine.distributed.environment import Membership
from hrdet_cli.engine.distributed.failure import Failure, FailureBoard, PeerError, failure_of
from hrdet_cli.engine.distributed.flight_recorder import FlightRecorder
from hrdet_cli.engine.distributed.hang_evidence import HangEvidence
from hrdet_cli.engine.distributed.meeting import Meeting, Place, meet
from hrdet_cli.engine.distributed.store_threads import StoreThread, join_within
from hrdet_cli.engine.distributed.watchdog import Watchdog
from hrdet_cli.errors import GroupError, HrdetError, LostProcessError

_MARGIN_SECONDS = 60
"""The back end's own timeout comes after the watchdog's, whose message says more."""
_NOTICE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """The live group of processes.

    Attributes:
        rank: This process.
        hosts: Name of each process's node, by rank.
    """

    rank: int
    hosts: tuple[str, ...]


@contextmanager
def joined_group(
    membership: Membership,
    *,
    place: Place | None = None,
    device_type: str,
    timeout_seconds: float,
    abort: Callable[[HrdetError], NoReturn],
    logs: Path | None = None,
) -> Iterator[Group]:
    """Join the group, and leave it with all others.

    Inside, collectives work.  An error that ends this process is told to the others, and an error of another
    process ends this one with the same words.

    Args:
        membership: What whoever started this process says of it.
        place: For the order of ranks; None keeps the membership's.
        device_type: ``"cuda"`` makes the GPU of the process's number on its node the current one, and
            exchanges tensors on it by NCCL; tensors in host memory always travel by gloo.
        timeout_seconds: For processes to come, and for one collective.
        abort: Ends the process from another thread, with an error; must not return.
        logs: Folder for NCCL's traces of a hang; None keeps none.

    Raises:
        GroupError: Processes do not come or contradict each other.
        LostProcessError: A process is gone; the message names it.
        PeerError: Another process ended with an error.
    """
    place = place or Place(socket.gethostname())
    meeting = meet(membership, place, timeout_seconds=timeout_seconds)
    size = len(meeting.hosts)
    board = FailureBoard(PrefixStore("board", meeting.store.clone()), rank=meeting.rank, size=size)
    recorder = FlightRecorder(logs, meeting.rank, size) if logs and device_type == "cuda" else None
    if recorder is not None:
        recorder.prepare(os.environ)
    watchdog = Watchdog(
        store=PrefixStore("watchdog", meeting.store.clone()),
        board=board,
        members=meeting.hosts,
        rank=meeting.rank,
        store_rank=meeting.store_rank,
        timeout_seconds=timeout_seconds,
        abort=abort,
        evidence=HangEvidence(recorder),
    )
    try:
        with watchdog:
            try:
                if device_type == "cuda":
                    _use_gpu(membership.local_rank)
                _connect(meeting, board, device_type, timeout_seconds)
                yield Group(meeting.rank, meeting.hosts)
                enter_phase("the end")
                wait_for_all(what="wait for the others to finish")
            except LostProcessError as error:
                raise _explain(error, board, watchdog) from error
        dist.destroy_process_group()
    except BaseException as error:
        _publish(board, failure_of(error, rank=meeting.rank, host=place.host))
        if meeting.rank == meeting.store_rank:
            board.wait_for_readers(seconds=_NOTICE_SECONDS)
        raise


def refuse_for_group(membership: Membership, error: HrdetError, *, timeout_seconds: float) -> None:
    """Come to the group's meeting only to tell the others why this process ends.

    Args:
        membership: What whoever started this process says of it.
        error: What keeps it away.
        timeout_seconds: For the others to come; silent where they do not.
    """
    host = socket.gethostname()
    try:
        meeting = meet(membership, Place(host), timeout_seconds=timeout_seconds)
    except GroupError:
        return
    board = FailureBoard(PrefixStore("board", meeting.store), rank=meeting.rank, size=len(meeting.hosts))
    board.publish(failure_of(error, rank=meeting.rank, host=host))
    board.wait_for_readers(seconds=_NOTICE_SECONDS)


def _publish(board: FailureBoard, failure: Failure) -> None:
    """Tell the others why this process ends, unless the store is silent, which nobody watches any more."""
    thread = StoreThread(lambda: board.publish(failure), name="last words")
    thread.start()
    join_within([thread], seconds=_NOTICE_SECONDS)


def _use_gpu(local_rank: int) -> None:
    num_gpus = torch.cuda.device_count()
    if local_rank >= num_gpus:
        raise GroupError(
            f"process {local_rank} of this node has no GPU: {num_gpus} are visible; "
            "lower --processes-per-node or set run.device=cpu"
        )
    torch.cuda.set_device(local_rank)


def _connect(meeting: Meeting, board: FailureBoard, device_type: str, timeout_seconds: float) -> None:
    """Make torch's default group.

    Raises:
        GroupError: The processes cannot reach each other.
        PeerError: One of them met an error before.
    """
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo",
            store=PrefixStore("group", meeting.store),
            rank=meeting.rank,
            world_size=len(meeting.hosts),
            timeout=timedelta(seconds=timeout_seconds + _MARGIN_SECONDS),
        )
    except RuntimeError as error:
        failure = board.wait(seconds=_NOTICE_SECONDS)
        if failure is not None and failure.is_final:
            raise PeerError(failure) from error
        raise GroupError(
            f"the processes met, but could not connect to each other ({' '.join(str(error).split()):.200}); "
            "open all ports between the nodes, or name the network that connects them in GLOO_SOCKET_IFNAME "
            "and NCCL_SOCKET_IFNAME"
        ) from error


def _explain(error: LostProcessError, board: FailureBoard, watchdog: Watchdog) -> HrdetError:
    """An exchange that failed says little; the board may know what happened on the other side.

    Where it does not, whoever is not heard of any more while this process waits for the board is the cause.
    """
    failure = board.wait(seconds=_NOTICE_SECONDS)
    if failure is None:
        whom = watchdog.missing() or "the connection to another process of the group"
        return LostProcessError(f"lost {whom}: {error}; go on with --resume")
    if failure.is_final:
        return PeerError(failure)
    return LostProcessError(f"on rank {failure.rank} ({failure.host}): {failure.message}")
