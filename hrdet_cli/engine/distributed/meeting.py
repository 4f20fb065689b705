"""Processes that find each other in a store and agree on their ranks, before the group is made."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import timedelta

from torch.distributed import PrefixStore, Store, TCPStore

from hrdet_cli.engine.distributed.addresses import (
    format_endpoint,
    interface_with,
    is_own_address,
    local_address_towards,
    resolve,
)
from hrdet_cli.engine.distributed.environment import Membership
from hrdet_cli.engine.distributed.listeners import bind_listener
from hrdet_cli.errors import GroupError


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
class Meeting:
    """Everybody is there.

    Attributes:
        store: What they met in.
        rank: This process.
        hosts: Name of each process's node, by rank.
        store_rank: The process that holds the store.
    """

    store: Store
    rank: int
    hosts: tuple[str, ...]
    store_rank: int


@dataclass(frozen=True, slots=True)
class _Member:
    """What a process writes down; sorted by its first three fields."""

    node_rank: int
    not_with_rendezvous: bool
    former_rank: int
    host: str
    address: str | None


def meet(membership: Membership, place: Place, *, timeout_seconds: float) -> Meeting:
    """Wait for everybody and give out ranks: nodes in the user's order, or the rendezvous's first.

    Also has gloo use the network that leads to the others, unless ``GLOO_SOCKET_IFNAME`` is set: by itself it
    takes the address that the host's own name means, which may be 127.0.1.1.

    Raises:
        GroupError: The store cannot be reached, or not everybody comes.
    """
    store = _open_store(membership, timeout_seconds)
    if store.add(f"claim/{membership.rank}", 1) > 1:
        raise GroupError(
            f"two processes say they are rank {membership.rank}; is a command started twice on one node, or "
            "an older run still alive?"
        )
    own = _Member(
        node_rank=place.node_rank if place.node_rank is not None else membership.size,
        not_with_rendezvous=not place.holds_rendezvous,
        former_rank=membership.rank,
        host=place.host,
        address=_address_towards_master(membership),
    )
    store.set(f"member/{membership.rank}", json.dumps(asdict(own)))
    members = _wait_for_members(store, membership, timeout_seconds)
    if membership.size > membership.local_size:
        _choose_interface(own, members)
    former_ranks = [member.former_rank for member in members]
    return Meeting(
        store=store,
        rank=former_ranks.index(membership.rank),
        hosts=tuple(member.host for member in members),
        store_rank=former_ranks.index(0),
    )


def _open_store(membership: Membership, timeout_seconds: float) -> Store:
    """The key-value store the group meets in: the launcher's, or one that the membership's rank 0 holds."""
    timeout = timedelta(seconds=timeout_seconds)
    address, port = membership.master_address, membership.master_port
    holds_store = membership.rank == 0 and not membership.launcher_has_store
    try:
        store: Store = TCPStore(
            address,
            port,
            is_master=holds_store,
            wait_for_workers=False,
            timeout=timeout,
            master_listen_fd=_listen(membership) if holds_store else None,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise GroupError(
            f"rank {membership.rank} of {membership.size} could not reach the group's store at "
            f"{format_endpoint(address, port)} ({reason:.200}); rank 0 must run on that host, with the port "
            "free and open between the hosts"
        ) from error
    if not membership.launcher_has_store:
        return store
    # A launcher's store survives a restart of its processes, and with it the claims of those before.
    return PrefixStore(f"restart-{membership.num_restarts}", store)


def _listen(membership: Membership) -> int | None:
    """A socket at exactly the master's address; None, for one at all addresses, where it is not known here.

    It is not known where the machine gives its own name to its loopback.
    """
    try:
        _, address = resolve(membership.master_address, membership.master_port)
    except GroupError:
        return None
    return bind_listener(address, membership.master_port).detach() if is_own_address(address) else None


def _wait_for_members(store: Store, membership: Membership, timeout_seconds: float) -> list[_Member]:
    """All processes, by their new ranks."""
    keys = [f"member/{rank}" for rank in range(membership.size)]
    try:
        store.wait(keys, timedelta(seconds=timeout_seconds))
        members = [_Member(**json.loads(text)) for text in store.multi_get(keys)]
    except RuntimeError as error:
        raise GroupError(_absence(store, keys, membership, timeout_seconds)) from error
    return sorted(members, key=lambda m: (m.node_rank, m.not_with_rendezvous, m.former_rank))


def _absence(store: Store, keys: list[str], membership: Membership, timeout_seconds: float) -> str:
    endpoint = format_endpoint(membership.master_address, membership.master_port)
    try:
        missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
    except RuntimeError:
        return f"the process that holds the group's store at {endpoint} ended before all others had come"
    return (
        f"{len(keys) - len(missing)} of {len(keys)} processes came to {endpoint} in {timeout_seconds:.0f} s; "
        f"missing ranks: {', '.join(missing)}"
    )


def _address_towards_master(membership: Membership) -> str | None:
    """This node's own address in the group's network; None where the master's name tells nothing here."""
    try:
        _, address = resolve(membership.master_address, membership.master_port)
        return local_address_towards(address, membership.master_port)
    except GroupError:
        return None


def _choose_interface(own: _Member, members: list[_Member]) -> None:
    """On the master's own node, whose name may be its loopback's, ask for the way to any other node."""
    address = own.address
    if address is None:
        others = [member.address for member in members if member.address is not None]
        address = local_address_towards(others[0], 1) if others else None
    interface = interface_with(address) if address is not None else None
    if interface is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
