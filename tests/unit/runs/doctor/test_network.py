"""Master addresses that are one's own, another machine's or nobody's, with real sockets."""

import os
import socket
from collections.abc import Iterator

import pytest

from hrdet_cli.runs.doctor import network
from hrdet_cli.runs.doctor.finding import Finding
from hrdet_cli.runs.doctor.network import examine_master, examine_membership


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def test_a_taken_port_names_the_process_that_holds_it(listener: socket.socket) -> None:
    address, port = examine_master("127.0.0.1", port_of(listener))
    assert address.value == "127.0.0.1, this machine's own, on lo"
    assert port.status == "problem"
    assert f"pid {os.getpid()} " in str(port.remedy)
    assert "--master-port" in str(port.remedy)


def test_a_port_that_was_left_is_free(listener: socket.socket) -> None:
    number = port_of(listener)
    listener.close()
    _, port = examine_master("127.0.0.1", number)
    assert port == Finding("master port", f"{number} is free here")


def test_a_loopback_address_is_a_note_because_other_nodes_cannot_reach_it() -> None:
    address, _ = examine_master("localhost", 29500)
    assert address.status == "note"
    assert address.value.startswith("localhost is ")
    assert str(address.remedy).startswith("no other machine can reach it")


def test_an_unknown_name_is_one_problem() -> None:
    (finding,) = examine_master("no-such-host.invalid", 29500)
    assert (finding.name, finding.status) == ("master address", "problem")
    assert "'no-such-host.invalid' is unknown" in str(finding.remedy)


def test_another_machine_that_listens_answers(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setattr(network, "is_own_address", lambda _address: False)
    address, port = examine_master("127.0.0.1", port_of(listener))
    assert address == Finding("master address", "127.0.0.1, another machine, reached from 127.0.0.1 on lo")
    assert port == Finding("master port", f"127.0.0.1:{port_of(listener)} answers")


def test_another_machine_where_nothing_listens_yet_is_a_note(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setattr(network, "is_own_address", lambda _address: False)
    number = port_of(listener)
    listener.close()
    _, port = examine_master("127.0.0.1", number)
    assert (port.status, port.value) == ("note", f"127.0.0.1:{number} can be reached; nothing listens there")


def test_another_machine_that_drops_packets_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "is_own_address", lambda _address: False)
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.05)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # with its one place taken, the kernel drops what comes, as a firewall would
        with socket.create_connection(full.getsockname()):
            _, port = examine_master("127.0.0.1", port_of(full))
    assert port.status == "problem"
    assert port.value.endswith("no answer in 0.05 s")
    assert "firewall" in str(port.remedy)


def test_a_process_alone_was_started_by_nobody() -> None:
    assert examine_membership({}, default_port=29500) == Finding("started by", "nobody: a process alone")


def test_a_launcher_is_named_with_this_process_s_place() -> None:
    environ = {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "fd00::1",
        "MASTER_PORT": "1234",
    }
    finding = examine_membership(environ, default_port=29500)
    assert finding == Finding(
        "started by", "torchrun: rank 5 of 8, process 1 of 4 on this node, master [fd00::1]:1234"
    )


def test_variables_that_contradict_each_other_are_a_problem() -> None:
    finding = examine_membership({"RANK": "5", "WORLD_SIZE": "2"}, default_port=29500)
    assert finding.status == "problem"
    assert "RANK is '5'" in str(finding.remedy)
