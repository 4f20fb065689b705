"""Nodes that find each other at the master address, before any worker starts.

The node that has the master address holds a store there; the others connect to it.  Every node writes down
who it is and how it was started, so that a node that does not come, or one started otherwise, can be named.
torch elastic's rendezvous then uses the same store.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from typing import NoReturn, Self

from torch.distributed import TCPStore

from hrdet_cli.engine.distributed.addresses import (
    format_endpoint,
    is_own_address,
    local_address_towards,
    resolve,
)
from hrdet_cli.engine.distributed.listeners import bind_listener, wait_until_reachable
from hrdet_cli.engine.distributed.node import Node, contradictions
from hrdet_cli.engine.distributed.node_life import BEAT_SECONDS, NodeLife
from hrdet_cli.errors import GroupError, HrdetError, LostProcessError

_STORE_TIMEOUT = timedelta(seconds=30)
_POLL_SECONDS = 0.2
_REFUSAL_KEY = "refusal"
_NOTICE_SECONDS = 5.0
"""So long a node that cannot take part looks for others that wait, and they for what it says."""


class NodeError(HrdetError):
    """An error that keeps another node, or the nodes together, from taking part; has its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


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
        self._life: NodeLife | None = None

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

    def gather(self, node: Node, *, abort: Callable[[HrdetError], NoReturn]) -> tuple[Node, ...]:
        """Sign in and wait until all nodes have.

        Args:
            node: This one.
            abort: Ends this process with an error, from another thread; must not return.

        Returns:
            The nodes, in the order they came.

        Raises:
            GroupError: A node does not come in time, was started otherwise, or there is no place left.
            NodeError: Another node cannot take part.
        """
        with self._holder_needed():
            number = self._store.add("num-nodes", 1) - 1
            self._refuse_surplus(node)
            self._store.set(f"node/{number}", json.dumps(asdict(node)))
        self._life = NodeLife(
            self._store.clone(),
            number=number,
            num_nodes=node.num_nodes,
            timeout_seconds=self._timeout_seconds,
            abort=abort,
        )
        self._life.start()
        try:
            return self._wait_for_nodes(node.num_nodes)
        except BaseException:
            with suppress(RuntimeError):  # of a store that is gone
                self._store.delete_key(f"node/{number}")  # makes room for one that comes later
            raise

    def launch_id(self) -> str:
        """A name for this launch, the same on every node."""
        with self._holder_needed():
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

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._life is not None:
            self._life.stop(error)

    def _wait_for_nodes(self, num_nodes: int) -> tuple[Node, ...]:
        deadline, num_said = time.monotonic() + self._timeout_seconds, 0
        while len(nodes := tuple(self._signed_in().values())) < num_nodes:
            self._compare(nodes)
            self._heed_refusal()
            if time.monotonic() > deadline:
                error = GroupError(self._absence(nodes, num_nodes))
                if self.is_holder:  # its store goes with it
                    self._tell_all(error)
                raise error
            if len(nodes) != num_said:
                num_said = len(nodes)
                self._on_wait(f"waiting for nodes at {self.endpoint}: {num_said} of {num_nodes} have come")
            time.sleep(_POLL_SECONDS)
        self._compare(nodes)
        return nodes

    def refuse(self, error: HrdetError, *, host: str) -> None:
        """Tell those that wait, or come in the next seconds, why this node cannot take part."""
        own = NodeError(f"on {host} ({self.local_address}): {error}", error.exit_code)
        self._tell_all(own, seconds=_NOTICE_SECONDS if self.is_holder else 10 * _POLL_SECONDS)

    def _tell_all(self, error: HrdetError, *, seconds: float = 10 * _POLL_SECONDS) -> None:
        """Others that wait hear why this node ends; one that comes later does not."""
        with suppress(RuntimeError):  # of a store whose node has ended: then they have heard it from that one
            self._store.set(_REFUSAL_KEY, json.dumps({"message": str(error), "exit_code": error.exit_code}))
            time.sleep(seconds)
            self._store.delete_key(_REFUSAL_KEY)

    def _heed_refusal(self) -> None:
        with self._holder_needed():
            if self._store.check([_REFUSAL_KEY]):
                raise NodeError(**json.loads(self._store.get(_REFUSAL_KEY)))

    def _signed_in(self) -> dict[int, Node]:
        with self._holder_needed():
            keys = {number: f"node/{number}" for number in range(self._store.add("num-nodes", 0))}
            texts = {number: self._store.get(key) for number, key in keys.items() if self._store.check([key])}
        return {number: Node(**json.loads(text)) for number, text in texts.items()}

    @contextmanager
    def _holder_needed(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(
                f"the node that holds the rendezvous at {self.endpoint} is gone; start all nodes again"
            ) from error

    def _refuse_surplus(self, node: Node) -> None:
        """A node too many would make torch elastic restart the run over and over.

        After a node died there is a place for its successor: those before it are asked for a sign of life.
        """
        nodes = self._signed_in()
        if len(nodes) < node.num_nodes:
            return
        before = self._signs_of_life(nodes)
        time.sleep(5 * BEAT_SECONDS)
        after = self._signs_of_life(nodes)
        alive = [str(nodes[number]) for number in nodes if before.get(number) != after.get(number)]
        if len(alive) >= node.num_nodes:
            raise GroupError(
                f"{len(alive)} nodes are at {self.endpoint} already: {', '.join(alive)}; "
                f"--nodes {node.num_nodes} leaves no place for {node}. Choose another --master-port for "
                "another run"
            )

    def _signs_of_life(self, numbers: Iterable[int]) -> dict[int, bytes]:
        keys = {number: f"alive/{number}" for number in numbers}
        return {number: self._store.get(key) for number, key in keys.items() if self._store.check([key])}

    def _compare(self, nodes: tuple[Node, ...]) -> None:
        """All nodes must have been started alike."""
        problem = next(contradictions(nodes), None)
        if problem is not None:
            error = GroupError(problem)
            self._tell_all(error)
            raise error

    def _absence(self, nodes: tuple[Node, ...], num_nodes: int) -> str:
        came = ", ".join(map(str, nodes))
        other = "the other node" if num_nodes - len(nodes) == 1 else "each of the other nodes"
        return (
            f"{len(nodes)} of {num_nodes} nodes joined {self.endpoint} in "
            f"{self._timeout_seconds:.0f} s: {came}. On {other} run: {self._command}"
        )


def refuse_for_all(error: HrdetError, *, master_address: str, master_port: int, host: str) -> None:
    """Tell the nodes that wait at a master address why this one cannot take part, where there are any.

    Args:
        error: What keeps it away.
        master_address: As for `Rendezvous`.
        master_port: As for `Rendezvous`.
        host: Name of this node.
    """
    with suppress(HrdetError):  # nobody is there, or an address that is wrong: no reason to say more
        place = Rendezvous(
            master_address=master_address,
            master_port=master_port,
            timeout_seconds=_NOTICE_SECONDS,
            command="",
            on_wait=lambda _: None,
        )
        place.refuse(error, host=host)
