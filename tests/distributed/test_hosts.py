"""The hosts that other tests stand on, and what hrdet finds out about addresses on one of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distributed import hosts as support
from tests.distributed.hosts import Host, Hosts, can_make_hosts, run_ip
from tests.forked import Namespaces

pytestmark = pytest.mark.distributed

MakeHosts = Callable[[int], Hosts]

ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 5000), family=int(sys.argv[2])) as listener:
    print("listening", flush=True)
    while True:
        connection, (peer, *_) = listener.accept()
        with connection:
            connection.sendall(f"{peer} reached {socket.gethostname()}".encode())
"""
CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as connection:
    print(connection.recv(1000).decode())
"""


def run_python(host: Host, code: str, *arguments: str) -> str:
    """The last line that a program prints: its answer, or its error."""
    said, _ = host.start(sys.executable, "-c", code, *arguments).communicate(timeout=30)
    return said.strip().splitlines()[-1]


def call(host: Host, address: str, port: int = 5000, *, seconds: float = 10) -> str:
    """What the server there tells a client on this host."""
    return run_python(host, CALL, address, str(port), str(seconds))


def start_echo(host: Host, address: str) -> None:
    """A server on a host that tells who reached it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    process = host.start(sys.executable, "-c", ECHO, address, str(int(family)))
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"


def test_hosts_reach_each_other_by_address_and_by_name(hosts: MakeHosts) -> None:
    first, second = hosts(2)
    for address in (first.address, first.address6):
        start_echo(first, address)
    assert call(second, first.address) == "10.77.0.2 reached host1"
    assert call(second, first.address6) == "fd77::2 reached host1"
    assert call(second, first.domain_name) == "10.77.0.2 reached host1"
    assert call(second, first.hostname) == "10.77.0.2 reached host1"


def test_hosts_share_no_loopback_with_each_other_or_with_this_machine(hosts: MakeHosts) -> None:
    first, second = hosts(2)
    start_echo(first, "127.0.0.1")
    assert call(first, "localhost") == "127.0.0.1 reached host1"
    assert call(second, "localhost").startswith("ConnectionRefusedError")
    with socket.create_server(("127.0.0.1", 0)) as here:
        assert call(first, "localhost", here.getsockname()[1]).startswith("ConnectionRefusedError")


def test_a_host_that_was_cut_off_hears_nobody_until_it_is_mended(hosts: MakeHosts) -> None:
    pair = hosts(2)
    first, second = pair
    start_echo(first, first.address)
    pair.cut(second)
    assert call(second, first.address, seconds=1).startswith(("TimeoutError", "OSError"))
    pair.mend(second)
    assert call(second, first.address) == "10.77.0.2 reached host1"


def test_killing_all_ends_children_of_children_too(hosts: MakeHosts) -> None:
    (host,) = hosts(1)
    process = host.start("sh", "-c", "(sleep 600 & sleep 600 & wait) & echo started; wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    deadline = time.monotonic() + 10
    while len(host.process_ids()) < 4:
        assert time.monotonic() < deadline
    host.kill_all()
    assert host.process_ids() == []
    assert process.returncode == -9


def test_a_program_gets_its_folder_environment_and_log(hosts: MakeHosts, tmp_path: Path) -> None:
    (host,) = hosts(1)
    log = tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "COLOUR": "green"}
    process = host.start("sh", "-c", "pwd; echo $COLOUR >&2; exit 7", cwd=tmp_path, env=environment, log=log)
    assert process.wait(timeout=10) == 7
    assert log.read_text() == f"{tmp_path}\ngreen\n"


def test_nothing_is_left_of_hosts_even_after_a_failure(hosts: MakeHosts) -> None:
    hosts(1)  # skips where hosts cannot be made
    before = traces()
    sleepers: list[subprocess.Popen[str]] = []

    def fail_in_the_middle() -> None:
        with Hosts(2) as pair:
            sleepers.extend(host.start("sleep", "600") for host in pair)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_in_the_middle()
    assert [process.returncode for process in sleepers] == [-9, -9]
    assert traces() == before


def traces() -> tuple[object, ...]:
    """What hosts could leave behind: namespaces, folders, interfaces, another host name."""
    mine = f"hrdet-test-{os.getpid()}-"
    namespaces = [line for line in run_ip("netns", "list").splitlines() if line.startswith(mine)]
    folders = sorted(Path(tempfile.gettempdir()).glob(f"{mine}*"))
    return namespaces, folders, run_ip("-oneline", "link"), socket.gethostname()


def test_a_machine_without_the_program_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert can_make_hosts.__wrapped__() == "network namespaces need the program ip"


def test_a_machine_that_forbids_namespaces_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: str) -> str:
        if arguments == ("netns", "list"):
            return ""
        reason = "mkdir /run/netns failed: Permission denied\n"
        raise subprocess.CalledProcessError(1, ["ip", *arguments], stderr=reason)

    monkeypatch.setattr(shutil, "which", lambda program: f"/sbin/{program}")
    monkeypatch.setattr(support, "run_ip", refuse)
    reason = "network namespaces cannot be made: mkdir /run/netns failed: Permission denied"
    assert can_make_hosts.__wrapped__() == reason


def test_why_a_host_cannot_be_entered_is_told(hosts: MakeHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(1)  # skips where hosts cannot be made

    def refuse(_: Namespaces) -> None:
        raise PermissionError(1, "mount: Operation not permitted")

    monkeypatch.setattr(Namespaces, "enter", refuse)
    reason = "network namespaces cannot be entered: [Errno 1] mount: Operation not permitted"
    assert can_make_hosts.__wrapped__() == reason


LOOK_AROUND = """
import json
from hrdet_cli.engine.distributed.addresses import *
from hrdet_cli.engine.distributed.listeners import *
from hrdet_cli.errors import GroupError

own, second, other, foreign = "10.77.0.1", "10.77.0.9", "10.77.0.2", "10.78.0.1"

def reason(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except GroupError as error:
        return str(error)

with bind_listener(own, 5001):
    print(json.dumps([
        [reason(resolve, name, 1) for name in ("host1", "host1.test", "host2")],
        own_addresses(),
        [is_own_address(a) for a in (own, second, other, "fd77::1", "127.0.1.1")],
        [interface_with(a) for a in (own, second, other, "fd77::1")],
        [local_address_towards(a, 1) for a in (other, "fd77::2", own, "127.0.0.1")],
        reason(local_address_towards, foreign, 1),
        reason(bind_listener, other, 5001),
        reason(wait_until_reachable, other, 5001, timeout_seconds=0, on_wait=print),
        reason(wait_until_reachable, foreign, 5001, timeout_seconds=0, on_wait=print),
        describe_listener(second, 5001),
    ]))
"""


def test_a_host_knows_its_addresses_interfaces_and_routes(hosts: MakeHosts) -> None:
    first, _ = hosts(2)
    run_ip("-n", first.namespace, "address", "add", "10.77.0.9/24", "dev", "eth0", "label", "eth0:1")
    own = "10.77.0.1, 10.77.0.9, fd77::1"
    assert json.loads(run_python(first, LOOK_AROUND)) == [
        [
            "the host name 'host1' means 127.0.1.1 on host1, which no other node reaches (see /etc/hosts); "
            f"give an address as --master-addr on every node: {own}",
            [socket.AF_INET, "10.77.0.1"],
            [socket.AF_INET, "10.77.0.2"],
        ],
        own.split(", "),
        [True, True, False, True, True],
        ["eth0", "eth0", None, "eth0"],
        ["10.77.0.1", "fd77::1", "10.77.0.1", "127.0.0.1"],
        "host1 has no route to 10.78.0.1 (Network is unreachable); its own addresses are "
        f"{own}: check --master-addr and the network",
        f"10.77.0.2 is not an address of host1, which has {own}; check --master-addr",
        "10.77.0.2:5001 did not answer host1 in 0 s: 10.77.0.2 is there, but nothing listens on port 5001 "
        "(yet); run the same hrdet command with the same --master-port on the node that has 10.77.0.2, or "
        "look there why it ended",
        "10.78.0.1:5001 did not answer host1 in 0 s: no network of this node leads to 10.78.0.1; check "
        f"--master-addr and the network; this node has {own}",
        None,
    ]
