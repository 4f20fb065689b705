"""Listening and waiting, with real sockets on the loopback."""

import errno
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from hrdet_cli.engine.distributed import listeners
from hrdet_cli.engine.distributed.listeners import bind_listener, describe_listener, wait_until_reachable
from hrdet_cli.errors import GroupError
from tests.free_ports import free_port

HERE = "127.0.0.1"
USER = pwd.getpwuid(os.getuid()).pw_name

LISTEN_IN_ANOTHER_PROCESS = """
import socket, sys
listener = socket.create_server(("", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process() -> Iterator[tuple[int, int]]:
    """Process id and port of another process that listens on all addresses."""
    command = [sys.executable, "-c", LISTEN_IN_ANOTHER_PROCESS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


def test_a_listener_is_bound_to_one_address_only() -> None:
    with bind_listener(HERE, 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((HERE, port), timeout=5):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_port_just_left_can_be_taken_again() -> None:
    with bind_listener(HERE, 0) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection((HERE, port), timeout=5)
        served, _ = listener.accept()
        served.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    bind_listener(HERE, port).close()


def test_a_taken_port_is_refused_with_its_owner(other_process: tuple[int, int]) -> None:
    pid, port = other_process
    with pytest.raises(GroupError) as raised:
        bind_listener(HERE, port)
    message = str(raised.value)
    assert message.startswith(f"port {port} on {HERE} is in use by pid {pid} ({sys.executable[:40]}")
    assert f"...) of user {USER}; choose another with --master-port on every node." in message
    assert "If that is a node of this group, this one has to be another machine" in message


def test_an_address_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "list_own_addresses", lambda: "10.0.0.1, fd00::1")
    with pytest.raises(GroupError) as raised:
        bind_listener("203.0.113.7", 29500)
    assert str(raised.value) == (
        f"203.0.113.7 is not an address of {socket.gethostname()}, which has 10.0.0.1, fd00::1; "
        "check --master-addr"
    )


def test_a_port_of_the_superuser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(GroupError) as raised:
        bind_listener(HERE, 80)
    assert str(raised.value) == (
        "this user may not listen on port 80; choose another with --master-port on every node, above 1023"
    )


def test_a_listener_of_this_process_is_described() -> None:
    with bind_listener(HERE, 0) as listener:
        described = describe_listener(HERE, listener.getsockname()[1])
        assert described is not None
        assert described.startswith(f"pid {os.getpid()} (")
        assert described.endswith(f") of user {USER}")
        assert describe_listener("127.0.0.2", listener.getsockname()[1]) is None


def test_an_ipv6_listener_is_described() -> None:
    try:
        listener = bind_listener("::1", 0)
    except GroupError:
        pytest.skip("this machine has no ::1")
    with listener:
        described = describe_listener("::1", listener.getsockname()[1])
    assert described is not None
    assert described.startswith(f"pid {os.getpid()} (")


def test_nobody_is_described_where_nobody_listens() -> None:
    assert describe_listener(HERE, free_port()) is None


def test_a_listener_that_is_there_needs_no_waiting() -> None:
    told: list[str] = []
    with bind_listener(HERE, 0) as listener:
        port = listener.getsockname()[1]
        wait_until_reachable(HERE, port, timeout_seconds=5, on_wait=told.append)
    assert told == []


def test_a_listener_that_comes_late_is_waited_for_and_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    port, told, opened = free_port(), list[str](), list[socket.socket]()
    opener = threading.Timer(0.2, lambda: opened.append(bind_listener(HERE, port)))
    opener.start()
    wait_until_reachable(HERE, port, timeout_seconds=30, on_wait=told.append)
    opener.join()
    opened[0].close()
    assert told == [f"waiting for {HERE}:{port}: {HERE} is there, but nothing listens on port {port} (yet)"]


def test_nobody_coming_is_an_error_in_time_that_names_the_other_nodes_part() -> None:
    port, begin = free_port(), time.monotonic()
    with pytest.raises(GroupError) as raised:
        wait_until_reachable(HERE, port, timeout_seconds=0.3, on_wait=lambda _: None)
    assert 0.3 <= time.monotonic() - begin < 5
    assert str(raised.value) == (
        f"{HERE}:{port} did not answer {socket.gethostname()} in 0.3 s: {HERE} is there, but nothing listens "
        f"on port {port} (yet); run the same hrdet command with the same --master-port on the node that has "
        f"{HERE}, or look there why it ended"
    )


@pytest.mark.parametrize(
    ("failure", "reason", "remedy"),
    [
        (
            TimeoutError("timed out"),
            "no answer at all: ",
            "open port 7 and all ports above 1023 between the nodes",
        ),
        (
            OSError(errno.EHOSTUNREACH, "No route to host"),
            "its network says that it is not there: ",
            "open port 7",
        ),
        (
            OSError(errno.ENETUNREACH, "?"),
            "no network of this node leads to 127.0.0.1",
            "this node has 10.0.0.1",
        ),
        (OSError(errno.ENOBUFS, "No buffer space"), "No buffer space", "check --master-addr, --master-port"),
    ],
)
def test_each_reason_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, failure: OSError, reason: str, remedy: str
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(listeners, "list_own_addresses", lambda: "10.0.0.1")
    monkeypatch.setattr(socket.socket, "connect", fail)
    with pytest.raises(GroupError) as raised:
        wait_until_reachable(HERE, 7, timeout_seconds=0, on_wait=lambda _: None)
    assert f"in 0 s: {reason}" in str(raised.value)
    assert remedy in str(raised.value)


def test_a_changed_reason_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[OSError] = [
        TimeoutError("timed out"),
        TimeoutError("timed out"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    ]

    def fail_at_first(*_: object) -> None:
        if failures:
            raise failures.pop(0)

    monkeypatch.setattr(listeners, "SECONDS_BETWEEN_ATTEMPTS", 0)
    monkeypatch.setattr(socket.socket, "connect", fail_at_first)
    told: list[str] = []
    wait_until_reachable(HERE, 7, timeout_seconds=60, on_wait=told.append)
    assert [line.partition(": ")[2][:9] for line in told] == ["no answer", "127.0.0.1"]
