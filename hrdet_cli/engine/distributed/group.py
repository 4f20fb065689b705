"""Joining the group of all processes, and leaving it together."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, rendezvous

from hrdet_cli.engine.distributed.activity import ACTIVITY
from hrdet_cli.engine.distributed.addresses import format_endpoint
from hrdet_cli.engine.distributed.collectives import wait_for_all
from hrdet_cli.engine.distributed.environment import Membership
from hrdet_cli.engine.distributed.failure import FailureBoard, PeerError, failure_of
from hrdet_cli.engine.distributed.watchdog import Watchdog
from hrdet_cli.errors import GroupError, HrdetError, LostProcessError

_MARGIN_SECONDS = 60
"""The back end's own timeout comes after the watchdog's, whose message says more."""
_NOTICE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands when ranks are given out.

    Attributes:
        host: Name of the node, for messages.
        holds_rendezvous: The node has the master address: its processes come first.
        node_rank: The order of the nodes where the user gave it.
    """

    host: str
    holds_rendezvous: bool = True
    node_rank: int | None = None


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
) -> Iterator[Group]:
    """Join the group, and leave it with all others.

    Inside, collectives work.  An error that ends this process is told to the others, and an error of another
    process ends this one with the same words.

    Args:
        membership: What whoever started this process says of it.
        place: For the order of ranks; None keeps the membership's.
        device_type: ``"cuda"`` exchanges tensors on GPUs by NCCL, which must be the current device by then;
            tensors in host memory always travel by gloo.
        timeout_seconds: For processes to come, and for one collective.
        abort: Ends the process from another thread, with an error; must not return.

    Raises:
        GroupError: Processes do not come or contradict each other.
        LostProcessError: A process is gone; the message names it.
        PeerError: Another process ended with an error.
    """
    store = _open_store(membership, timeout_seconds)
    place = place or Place(socket.gethostname())
    rank, hosts, store_rank = _give_out_ranks(store, membership, place, timeout_seconds)
    board = FailureBoard(PrefixStore("board", store.clone()), rank=rank, size=len(hosts))
    watchdog = Watchdog(
        store=PrefixStore("watchdog", store.clone()),
        board=board,
        members=hosts,
        rank=rank,
        store_rank=store_rank,
        timeout_seconds=timeout_seconds,
        abort=abort,
    )
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo",
            store=PrefixStore("group", store),
            rank=rank,
            world_size=len(hosts),
            timeout=timedelta(seconds=timeout_seconds + _MARGIN_SECONDS),
        )
        with watchdog:
            try:
                yield Group(rank, hosts)
                ACTIVITY.phase = "the end"
                wait_for_all(what="wait for the others to finish")
            except LostProcessError as error:
                raise _explain(error, board, watchdog) from error
        dist.destroy_process_group()
    except BaseException as error:
        board.publish(failure_of(error, rank=rank, host=place.host))
        if membership.rank == 0:
            board.wait_for_readers(seconds=_NOTICE_SECONDS)
        raise


def _explain(error: LostProcessError, board: FailureBoard, watchdog: Watchdog) -> HrdetError:
    """An exchange that failed says little; the board may know what happened on the other side.

    Where it does not, whoever is not heard of any more while this process waits for the board is the cause.
    """
    failure = board.wait(seconds=_NOTICE_SECONDS)
    if failure is None:
        whom = watchdog.missing() or "the connection to another process of the group"
        return LostProcessError(f"lost {whom}: {error}")
    if failure.is_final:
        return PeerError(failure)
    return LostProcessError(f"on rank {failure.rank} ({failure.host}): {failure.message}")


def _open_store(membership: Membership, timeout_seconds: float) -> Store:
    """The key-value store the group meets in; the membership's rank 0 hosts it."""
    endpoint = format_endpoint(membership.master_address, membership.master_port)
    url = f"tcp://{endpoint}?rank={membership.rank}&world_size={membership.size}"
    try:
        store: Store
        store, _, _ = next(rendezvous(url, timeout=timedelta(seconds=timeout_seconds)))
    except (RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise GroupError(
            f"rank {membership.rank} of {membership.size} could not reach the group's store at "
            f"{endpoint} ({reason:.200}); the process with rank 0 must run on that host, with the port "
            "free and open between the hosts"
        ) from error
    return store


def _give_out_ranks(
    store: Store, membership: Membership, place: Place, timeout_seconds: float
) -> tuple[int, tuple[str, ...], int]:
    """Wait for everybody and sort them: nodes by rank where given, the rendezvous's first, then as numbered.

    Returns:
        This process's rank, the host of each rank, and the rank of the process that hosts the store.
    """
    if store.add(f"claim/{membership.rank}", 1) > 1:
        raise GroupError(
            f"two processes say they are rank {membership.rank}; is a command started twice on one node, or "
            "an older run still alive?"
        )
    order = [
        place.node_rank if place.node_rank is not None else membership.size,
        int(not place.holds_rendezvous),
        membership.rank,
        place.host,
    ]
    store.set(f"member/{membership.rank}", json.dumps(order))
    keys = [f"member/{rank}" for rank in range(membership.size)]
    try:
        store.wait(keys, timedelta(seconds=timeout_seconds))
        orders = sorted(json.loads(text) for text in store.multi_get(keys))
    except RuntimeError as error:
        missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
        raise GroupError(
            f"{len(keys) - len(missing)} of {len(keys)} processes came to {membership.master_address}:"
            f"{membership.master_port} in {timeout_seconds:.0f} s; missing ranks: {', '.join(missing)}"
        ) from error
    former_ranks = [former_rank for _, _, former_rank, _ in orders]
    hosts = tuple(host for _, _, _, host in orders)
    return former_ranks.index(membership.rank), hosts, former_ranks.index(0)


def use_device(device_type: str, local_rank: int) -> torch.device:
    """The device of this process: the GPU of its number on the node.

    Raises:
        GroupError: There are fewer GPUs than processes.
    """
    if device_type != "cuda":
        return torch.device(device_type)
    if local_rank >= torch.cuda.device_count():
        raise GroupError(
            f"process {local_rank} of this node has no GPU: {torch.cuda.device_count()} are visible; "
            "lower --processes-per-node or set run.device=cpu"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
