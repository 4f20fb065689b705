"""Listening on the port where nodes meet, waiting for it, and saying who holds it when it is taken."""

import errno
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.engine.distributed.addresses import format_endpoint, list_own_addresses, socket_address
from hrdet_cli.errors import GroupError

if sys.platform != "win32":
    import pwd

BACKLOG = 1024
"""Connections that may wait to be accepted: every process of a large group connects at the same moment."""

LISTEN_STATE = "0A"
"""``TCP_LISTEN`` in ``/proc/net/tcp``."""

SECONDS_PER_ATTEMPT, SECONDS_BETWEEN_ATTEMPTS = 5.0, 0.5

COMMAND_CHARACTERS = 60


def bind_listener(address: str, port: int) -> socket.socket:
    """A socket that listens on exactly this address of this machine, not on its others.

    Args:
        address: An own numeric address.
        port: A TCP port; 0 takes any free one.

    Raises:
        GroupError: The port is taken, the address is another machine's, or this user lacks the right.
    """
    family, place = socket_address(address, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port that a run has just left is free again at once.  It stays refused while somebody listens.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise GroupError(_why_not_bound(error, address, port)) from error
    return listener


def _why_not_bound(error: OSError, address: str, port: int) -> str:
    another_port = "choose another with --master-port on every node"
    if error.errno == errno.EADDRINUSE:
        owner = describe_listener(address, port) or "a process that is not visible from here"
        return (
            f"port {port} on {address} is in use by {owner}; {another_port}. If that is a node of this "
            "group, this one has to be another machine: a machine is one node, with a process for each GPU"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{address} is not an address of {socket.gethostname()}, which has {list_own_addresses()}; "
            "check --master-addr"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; {another_port}, above 1023"
    return f"cannot listen on {format_endpoint(address, port)}: {error.strerror}; {another_port}"


def describe_listener(address: str, port: int) -> str | None:
    """Who listens on a port of this machine, such as ``pid 123 (sshd -D) of user root``.

    Only as much as ``/proc`` shows: not always processes of other users, never those of other containers.

    Returns:
        None if nobody visible listens there.
    """
    for inode, user_id in _listening_sockets(address, port):
        user = _user_name(user_id)
        pid = _holder_of_socket(inode)
        return (
            f"a process of user {user}" if pid is None else f"pid {pid} ({_command_of(pid)}) of user {user}"
        )
    return None


def _listening_sockets(address: str, port: int) -> Iterator[tuple[int, int]]:
    """Inode and user id of sockets that listen on this address, or on all addresses."""
    family, place = socket_address(address, port)
    wanted = {socket.inet_pton(family, place[0].partition("%")[0]), bytes(4), bytes(16)}
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, user_id, _, inode, *_ = line.split()
            digits, _, hex_port = local.partition(":")
            # Addresses are printed as 32-bit numbers in the machine's byte order.
            words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
            packed = struct.pack(f"={len(words)}I", *words)
            if state == LISTEN_STATE and int(hex_port, 16) == port and packed in wanted:
                yield int(inode), int(user_id)


def _holder_of_socket(inode: int) -> int | None:
    """The process with the lowest number that has a socket open; None if this user may not see it."""
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return next((pid for pid in pids if f"socket:[{inode}]" in _open_files_of(pid)), None)


def _open_files_of(pid: int) -> list[str]:
    names = []
    with suppress(OSError):  # it ended meanwhile, or is another user's
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(
                FileNotFoundError
            ):  # closed meanwhile, as that of this very listing in one's own process
                names.append(str(link.readlink()))
    return names


def _command_of(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return "ended meanwhile"
    command = " ".join(text.replace("\0", " ").split())
    return command if len(command) <= COMMAND_CHARACTERS else f"{command[:COMMAND_CHARACTERS]}..."


def _user_name(user_id: int) -> str:
    if sys.platform == "win32":
        return str(user_id)
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """Why a connection was not made, and what to do about it if it stays like that."""

    reason: str
    remedy: str


def wait_until_reachable(
    address: str, port: int, *, timeout_seconds: float, on_wait: Callable[[str], None]
) -> None:
    """Returns once something accepts connections on an address; the connection is closed at once.

    Args:
        address: Numeric address of the node with rank 0.
        port: Its TCP port.
        timeout_seconds: How long to try.
        on_wait: Told what is waited for and why, again each time the reason changes.

    Raises:
        GroupError: Nobody answered in time; says why the last attempt failed and what to look at.
    """
    family, place = socket_address(address, port)
    endpoint = format_endpoint(address, port)
    deadline = time.monotonic() + timeout_seconds
    told = None
    while True:
        remaining = deadline - time.monotonic()
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(min(SECONDS_PER_ATTEMPT, max(remaining, 1.0)))
            try:
                probe.connect(place)
            except OSError as error:
                obstacle = _describe_failure(error, address, port)
            else:
                return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise GroupError(
                f"{endpoint} did not answer {socket.gethostname()} in {timeout_seconds:g} s: "
                f"{obstacle.reason}; {obstacle.remedy}"
            )
        if obstacle.reason != told:
            told = obstacle.reason
            on_wait(f"waiting for {endpoint}: {obstacle.reason}")
        time.sleep(min(SECONDS_BETWEEN_ATTEMPTS, remaining))


def _describe_failure(error: OSError, address: str, port: int) -> _Obstacle:
    if isinstance(error, ConnectionRefusedError):
        return _Obstacle(
            f"{address} is there, but nothing listens on port {port} (yet)",
            f"run the same hrdet command with the same --master-port on the node that has {address}, or look "
            "there why it ended",
        )
    if isinstance(error, TimeoutError):
        return _Obstacle(
            "no answer at all: the address is wrong, the machine is off, or a firewall drops the packets",
            f"check --master-addr, and open port {port} and all ports above 1023 between the nodes",
        )
    if error.errno == errno.EHOSTUNREACH:
        return _Obstacle(
            "its network says that it is not there: the machine is off, or a firewall rejects the connection",
            f"check --master-addr, and open port {port} and all ports above 1023 between the nodes",
        )
    if error.errno == errno.ENETUNREACH:
        return _Obstacle(
            f"no network of this node leads to {address}",
            f"check --master-addr and the network; this node has {list_own_addresses()}",
        )
    return _Obstacle(f"{error.strerror}", "check --master-addr, --master-port and the network")
