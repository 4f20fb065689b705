"""Nodes that find each other at the master address, before any worker starts.

The node that has the master address holds a store there; the others connect to it.  Every node writes down
who it is and how it was started, so that a node that does not come, or one started otherwise, can be named.
torch elastic's rendezvous then uses the same store.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Self

from torch.distributed import TCPStore

from hrdet_cli.engine.distributed.addresses import (
    format_endpoint,
    is_own_address,
    local_address_towards,
    resolve,
)
from hrdet_cli.engine.distributed.listeners import bind_listener, wait_until_reachable
from hrdet_cli.errors import GroupError, LostProcessError

ALIVE_SECONDS = 1.0
_STORE_TIMEOUT = timedelta(seconds=30)
_POLL_SECONDS = 0.2
_REFUSAL_KEY = "refusal"


@dataclass(frozen=True, slots=True)
class Node:
    """What a node says of itself.

    Attributes:
        host: Its name.
        address: Its own address towards the master.
        num_nodes: Nodes it was told to wait for, itself included.
        num_processes: Processes it will start.
        node_rank: Where the user gave one.
        versions: Of hrdet and torch.
    """

    host: str
    address: str
    num_nodes: int
    num_processes: int
    node_rank: int | None
    versions: str

    def __str__(self) -> str:
        return f"{self.host} ({self.address})"


class Rendezvous:
    """A node's place at the master address, held until it is left.

    Attributes:
        address: The master address as a number.
        is_holder: Whether this node holds the store.
        local_address: This node's own address towards the master.
    """

    def __init__(
        self,
        *,
        master_address: str,
        master_port: int,
        timeout_seconds: float,
        command: str,
        on_wait: Callable[[str], None],
    ) -> None:
        """Hold the store where the address is one's own, else wait until it answers.

        Args:
            master_address: A name or number; one of the nodes has it.
            master_port: Free on that node; 0 takes any, where there is no other node.
            timeout_seconds: How long to wait for the others.
            command: What the user ran, for messages.
            on_wait: Told what is waited for.

        Raises:
            GroupError: The address is unknown, the port is taken, or nothing answers in time.
        """
        self.port = master_port
        self._timeout_seconds = timeout_seconds
        self._command = command
        self._on_wait = on_wait
        _, self.address = resolve(master_address, master_port)
        self.is_holder = is_own_address(self.address)
        if self.is_holder:
            self.local_address = self.address
            self._store = self._hold_store()
        else:
            self.local_address = local_address_towards(self.address, master_port)
            wait_until_reachable(self.address, master_port, timeout_seconds=timeout_seconds, on_wait=on_wait)
            self._store = self._connect()
        self._number = -1
        self._is_left = threading.Event()

    def _hold_store(self) -> TCPStore:
        listener = bind_listener(self.address, self.port)
        self.port = listener.getsockname()[1]
        return TCPStore(
            self.address,
            self.port,
            is_master=True,
            wait_for_workers=False,
            timeout=_STORE_TIMEOUT,
            master_listen_fd=listener.detach(),
        )

    def _connect(self) -> TCPStore:
        try:
            return TCPStore(
                self.address, self.port, is_master=False, wait_for_workers=False, timeout=_STORE_TIMEOUT
            )
        except RuntimeError as error:
            raise GroupError(
                f"{self.endpoint} answers, but not as the rendezvous of an hrdet run "
                f"({' '.join(str(error).split()):.120}); choose another --master-port on every node"
            ) from error

    @property
    def endpoint(self) -> str:
        """Address and port, as text."""
        return format_endpoint(self.address, self.port)

    def gather(self, node: Node) -> tuple[Node, ...]:
        """Sign in and wait until all nodes have.

        Returns:
            The nodes, in the order they came.

        Raises:
            GroupError: A node does not come in time, was started otherwise, or there is no place left.
        """
        self._number = self._store.add("num-nodes", 1) - 1
        self._store.set(f"node/{self._number}", json.dumps(asdict(node)))
        deadline = time.monotonic() + self._timeout_seconds
        threading.Thread(target=self._show_life, name="rendezvous", daemon=True).start()
        self._refuse_surplus(node)
        try:
            return self._wait_for_nodes(node.num_nodes, deadline)
        except GroupError as error:
            if self.is_holder:
                self._tell_all(error)
            raise

    def launch_id(self) -> str:
        """A name for this launch, the same on every node."""
        return self._store.compare_set("launch-id", "", uuid.uuid4().hex).decode()

    def is_lost(self) -> bool:
        """Whether the store has gone, with the node that held it."""
        try:
            self._store.add("num-nodes", 0)
        except RuntimeError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_left.set()

    def _wait_for_nodes(self, num_nodes: int, deadline: float) -> tuple[Node, ...]:
        num_said = 0
        while len(nodes := self._signed_in()) < num_nodes:
            self._compare(nodes)
            self._heed_holder()
            if time.monotonic() > deadline:
                raise GroupError(self._absence(nodes, num_nodes))
            if len(nodes) != num_said:
                num_said = len(nodes)
                self._on_wait(f"{num_said} of {num_nodes} nodes at {self.endpoint}")
            time.sleep(_POLL_SECONDS)
        self._compare(nodes)
        return nodes

    def _tell_all(self, error: GroupError) -> None:
        """The store goes with its holder: others that wait hear first why."""
        self._store.set(_REFUSAL_KEY, str(error))
        time.sleep(10 * _POLL_SECONDS)

    def _heed_holder(self) -> None:
        with self._holder_needed():
            if self._store.check([_REFUSAL_KEY]):
                raise GroupError(self._store.get(_REFUSAL_KEY).decode())

    def _signed_in(self) -> tuple[Node, ...]:
        with self._holder_needed():
            keys = [f"node/{number}" for number in range(self._store.add("num-nodes", 0))]
            texts = [self._store.get(key) for key in keys if self._store.check([key])]
        return tuple(Node(**json.loads(text)) for text in texts)

    @contextmanager
    def _holder_needed(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(
                f"the node that holds the rendezvous at {self.endpoint} is gone; start all nodes again"
            ) from error

    def _show_life(self) -> None:
        store = self._store.clone()
        count = 0
        while not self._is_left.wait(ALIVE_SECONDS):
            count += 1
            try:
                store.set(f"alive/{self._number}", f"{os.getpid()}-{count}")
            except RuntimeError:
                return  # the holder is gone, which others say

    def _refuse_surplus(self, node: Node) -> None:
        """A node too many would make torch elastic restart the run over and over.

        After a node died there is a place for its successor: those before it are asked for a sign of life.
        """
        nodes = self._signed_in()[: self._number]
        if len(nodes) < node.num_nodes:
            return
        before = self._signs_of_life(len(nodes))
        time.sleep(5 * ALIVE_SECONDS)
        after = self._signs_of_life(len(nodes))
        alive = [
            str(nodes[number]) for number in range(len(nodes)) if before.get(number) != after.get(number)
        ]
        if len(alive) >= node.num_nodes:
            raise GroupError(
                f"{len(alive)} nodes are at {self.endpoint} already: {', '.join(alive)}; "
                f"--nodes {node.num_nodes} leaves no place for {node}. Choose another --master-port for "
                "another run"
            )

    def _signs_of_life(self, count: int) -> dict[int, bytes]:
        keys = {number: f"alive/{number}" for number in range(count)}
        return {number: self._store.get(key) for number, key in keys.items() if self._store.check([key])}

    def _compare(self, nodes: tuple[Node, ...]) -> None:
        """All nodes must have been started alike."""
        first = nodes[0]
        for node in nodes[1:]:
            for option, ours, theirs in (
                ("--nodes", first.num_nodes, node.num_nodes),
                ("--processes-per-node", first.num_processes, node.num_processes),
                ("versions", first.versions, node.versions),
            ):
                if ours != theirs:
                    raise GroupError(
                        f"the nodes contradict each other: {option} is {ours} on {first}, "
                        f"but {theirs} on {node}; start every node with the same command and versions"
                    )
        ranks = [node.node_rank for node in nodes]
        is_complete = len(nodes) == first.num_nodes
        given = {rank for rank in ranks if rank is not None}
        if is_complete and given and given != set(range(len(nodes))):
            told = ", ".join(f"{node.node_rank} on {node}" for node in nodes)
            raise GroupError(
                f"--node-rank must be 0 to {len(nodes) - 1}, each on one node, or be left away on all: "
                f"it is {told}"
            )

    def _absence(self, nodes: tuple[Node, ...], num_nodes: int) -> str:
        came = ", ".join(map(str, nodes))
        other = "the other node" if num_nodes - len(nodes) == 1 else "each of the other nodes"
        return (
            f"{len(nodes)} of {num_nodes} nodes joined {self.endpoint} in "
            f"{self._timeout_seconds:.0f} s: {came}. On {other} run: {self._command}"
        )
