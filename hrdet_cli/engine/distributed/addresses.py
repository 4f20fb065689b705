"""Addresses of nodes: which are this machine's, which one a master's name means, which interface holds one.

An *address* is numeric here: ``10.0.0.1``, ``fd00::1`` or, within one link, ``fe80::1%eth0``.
"""

import array
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from hrdet_cli.errors import GroupError

if sys.platform == "linux":
    import fcntl

SIOCGIFCONF = 0x8912
"""Linux's request for all IPv4 addresses, secondary ones included (``netdevice(7)``)."""

IFREQ_BYTES = 40
"""``struct ifreq`` on 64-bit Linux: 16 bytes of name, 24 of a union that begins with a socket address."""

MAX_ADDRESSES = 1024
"""The list is cut off here."""


def resolve(name: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The address that a name or address means.

    A name with several addresses means the same one on every node, whatever each node prefers: outside of the
    loopback before inside, IPv4 before IPv6, then in the resolver's order.

    Args:
        name: A host name, IPv4 address, or IPv6 address with or without brackets.
        port: A TCP port, 1 .. 65535; only for messages and the resolver.

    Raises:
        GroupError: The name is unknown, means every address of a machine, or, as a machine's own name often
            does in ``/etc/hosts``, an address that other nodes cannot reach.
    """
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise GroupError(
            f"the host name '{name}' is unknown on {socket.gethostname()} ({reason}); check --master-addr, "
            "or give the numeric address of the node with rank 0 on every node"
        ) from error
    candidates = [(socket.AddressFamily(family), str(place[0])) for family, _, _, _, place in found]
    family, address = min(candidates, key=lambda candidate: (_is_loopback(candidate[1]), candidate[0]))
    if address in ("0.0.0.0", "::"):  # noqa: S104
        raise GroupError(
            f"'{name}' stands for all addresses of a machine; --master-addr has to be the one that the other "
            "nodes reach"
        )
    if _is_loopback(address) and bare not in (address, "localhost"):
        raise GroupError(
            f"the host name '{name}' means {address} on {socket.gethostname()}, which no other node reaches "
            f"(see /etc/hosts); give an address as --master-addr on every node: {list_own_addresses()}"
        )
    return family, address


def format_endpoint(address: str, port: int) -> str:
    """``10.0.0.1:29500`` or ``[fd00::1]:29500``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def socket_address(address: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """What ``bind`` and ``connect`` take for an address; for IPv6 it also holds the interface's number."""
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, _, _, _, place = found[0]
    return family, place


def is_own_address(address: str) -> bool:
    """Whether this machine has an address, which is whether a socket can be bound to it.

    Comparing host names would be wrong where a machine's own name means 127.0.1.1.
    """
    family, place = socket_address(address, 0)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True


def local_address_towards(address: str, port: int) -> str:
    """This machine's address that packets to another one leave from; nothing is sent.

    Raises:
        GroupError: No network of this machine leads there.
    """
    family, place = socket_address(address, port)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise GroupError(
            f"{socket.gethostname()} has no route to {address} ({error.strerror}); its own addresses are "
            f"{list_own_addresses()}: check --master-addr and the network"
        ) from error


def interface_with(address: str) -> str | None:
    """Name of the network interface that holds an own address, such as ``eth0``; None if none does."""
    held = _ipv6_addresses() if ":" in address else _ipv4_addresses()
    wanted = address.partition("%")[0]
    return next((interface for interface, own in held if own == wanted), None)


def own_addresses() -> list[str]:
    """This machine's addresses that others may reach, for messages; none where they cannot be listed."""
    held = [own for _, own in _ipv4_addresses() + _ipv6_addresses()]
    return [own for own in held if not _is_loopback(own) and not own.startswith("fe80:")]


def list_own_addresses() -> str:
    """Own addresses as a piece of a sentence."""
    return ", ".join(own_addresses()) or "none"


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _ipv4_addresses() -> list[tuple[str, str]]:
    """Interface and address; an address with a label of its own, ``eth0:1``, belongs to its interface."""
    if sys.platform != "linux":
        return []
    records = array.array("B", bytes(MAX_ADDRESSES * IFREQ_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iP", len(records), records.buffer_info()[0])
        (num_bytes,) = struct.unpack_from("i", fcntl.ioctl(probe, SIOCGIFCONF, request))
    held = []
    for start in range(0, num_bytes, IFREQ_BYTES):
        record = records[start : start + IFREQ_BYTES].tobytes()
        label = record[:16].partition(b"\0")[0].decode()
        held.append((label.partition(":")[0], socket.inet_ntoa(record[20:24])))
    return held


def _ipv6_addresses() -> list[tuple[str, str]]:
    """Interface and address, from lines such as ``fd00...02 04 40 00 82 eth0``."""
    table = Path("/proc/net/if_inet6")
    if not table.exists():  # IPv6 is switched off, or this is no Linux
        return []
    rows = [line.split() for line in table.read_text().splitlines()]
    return [(row[-1], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0]))) for row in rows]
