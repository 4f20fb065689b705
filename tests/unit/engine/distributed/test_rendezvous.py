import socket
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest

from hrdet_cli.engine.distributed import node_life, rendezvous
from hrdet_cli.engine.distributed.node import Node
from hrdet_cli.engine.distributed.rendezvous import Rendezvous
from hrdet_cli.errors import GroupError, HrdetError


def node(name: str, *, num_nodes: int = 2, num_processes: int = 1, node_rank: int | None = None) -> Node:
    return Node(
        host=name,
        address="127.0.0.1",
        num_nodes=num_nodes,
        num_processes=num_processes,
        node_rank=node_rank,
        versions="hrdet 0.1.0, torch 2.15.0",
    )


def fail(error: HrdetError) -> NoReturn:
    raise error


def meet(port: int, *, timeout_seconds: float = 20) -> Rendezvous:
    return Rendezvous(
        master_address="127.0.0.1",
        master_port=port,
        timeout_seconds=timeout_seconds,
        command="hrdet train --nodes 2 --master-addr 127.0.0.1",
        on_wait=lambda _line: None,
    )


@pytest.fixture
def holder() -> Iterator[Rendezvous]:
    """The node that holds the store; all nodes of these tests are on the loopback."""
    with meet(0) as held:
        yield held


def shorten_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rendezvous, node_life):
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)


def visitor(holder: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> Rendezvous:
    """Another node, which has not the master address."""
    with monkeypatch.context() as patch:
        patch.setattr(rendezvous, "is_own_address", lambda _address: False)
        return meet(holder.port)


def gather_both(
    first: tuple[Rendezvous, Node], second: tuple[Rendezvous, Node]
) -> list[tuple[Node, ...] | HrdetError]:
    """What each of two nodes gets from the gathering."""
    results: dict[int, tuple[Node, ...] | HrdetError] = {}

    def gather(index: int, place: Rendezvous, itself: Node) -> None:
        try:
            results[index] = place.gather(itself, abort=fail)
        except HrdetError as error:
            results[index] = error

    threads = [threading.Thread(target=gather, args=(i, *pair)) for i, pair in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return [results[0], results[1]]


def test_nodes_find_each_other_and_agree_on_the_launch(
    holder: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = visitor(holder, monkeypatch)
    with other:
        ours, theirs = gather_both((holder, node("a")), (other, node("b")))
    assert ours == theirs
    assert not isinstance(ours, HrdetError)
    assert {found.host for found in ours} == {"a", "b"}
    assert holder.launch_id() == other.launch_id()
    assert (holder.is_holder, other.is_holder) == (True, False)


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (node("b", num_processes=4), "--processes-per-node is"),
        (node("b", num_nodes=3), "--nodes is"),
    ],
)
def test_nodes_that_were_started_otherwise_are_told_apart_on_both(
    holder: Rendezvous, monkeypatch: pytest.MonkeyPatch, theirs: Node, told: str
) -> None:
    other = visitor(holder, monkeypatch)
    with other:
        errors = gather_both((holder, node("a")), (other, theirs))
    for error in errors:
        assert isinstance(error, HrdetError)
        assert error.exit_code == GroupError.exit_code
        assert told in str(error)
        assert "a (127.0.0.1)" in str(error)
        assert "b (127.0.0.1)" in str(error)


def test_node_ranks_are_given_to_all_or_to_none(holder: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    other = visitor(holder, monkeypatch)
    with other:
        errors = gather_both((holder, node("a", node_rank=0)), (other, node("b")))
    assert "--node-rank must be 0 to 1" in str(errors[0])


def test_a_node_that_does_not_come_is_missed_with_what_to_run_there() -> None:
    with meet(0, timeout_seconds=0.3) as alone, pytest.raises(GroupError) as raised:
        alone.gather(node("a"), abort=fail)
    assert str(raised.value) == (
        f"1 of 2 nodes joined 127.0.0.1:{alone.port} in 0 s: a (127.0.0.1). "
        "On the other node run: hrdet train --nodes 2 --master-addr 127.0.0.1"
    )


def test_a_node_that_does_not_come_is_missed_by_all_others_before_the_holder_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with meet(0, timeout_seconds=0.5) as holder:
        other = visitor(holder, monkeypatch)  # which would wait for 20 s
        with other:
            errors = gather_both((holder, node("a", num_nodes=3)), (other, node("b", num_nodes=3)))
    for error in errors:
        assert isinstance(error, HrdetError)
        assert error.exit_code == GroupError.exit_code
        assert str(error).startswith(f"2 of 3 nodes joined 127.0.0.1:{holder.port} in ")


def test_a_node_too_many_is_sent_away(holder: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_beats(monkeypatch)
    second, third = visitor(holder, monkeypatch), visitor(holder, monkeypatch)
    with second, third:
        gather_both((holder, node("a")), (second, node("b")))
        with pytest.raises(GroupError, match="leaves no place for c"):
            third.gather(node("c"), abort=fail)


def test_the_successor_of_a_dead_node_is_welcome(holder: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_beats(monkeypatch)
    second, third = visitor(holder, monkeypatch), visitor(holder, monkeypatch)
    with third:
        with second:
            gather_both((holder, node("a")), (second, node("b")))
        assert len(third.gather(node("b again"), abort=fail)) == 3


def test_a_port_that_something_else_holds_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(GroupError, match=f"port {port} on 127.0.0.1 is in use by "):
            meet(port)


class GoingStore:
    """A store whose node ends in the moment after it took a message."""

    def set(self, _key: str, _value: str) -> None:
        """Take it."""

    def delete_key(self, _key: str) -> bool:
        raise RuntimeError("Failed to recv, got 0 bytes")


def test_a_contradiction_is_told_though_the_store_goes_meanwhile(
    holder: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = visitor(holder, monkeypatch)
    monkeypatch.setattr(other, "_store", GoingStore())
    with pytest.raises(GroupError, match="the nodes contradict each other: --processes-per-node is 1 on a"):
        other._compare((node("a"), node("b", num_processes=2)))
