"""Findings on the group this process was started into, and on the node where a group would meet."""

import socket
from collections.abc import Mapping
from ipaddress import ip_address

from hrdet_cli.engine.distributed.addresses import (
    format_endpoint,
    interface_with,
    is_own_address,
    list_own_addresses,
    local_address_towards,
    resolve,
    socket_address,
)
from hrdet_cli.engine.distributed.environment import detect_membership
from hrdet_cli.engine.distributed.listeners import bind_listener
from hrdet_cli.errors import GroupError
from hrdet_cli.runs.doctor.finding import Finding

CONNECT_SECONDS = 2.0


def examine_membership(environ: Mapping[str, str], *, default_port: int) -> Finding:
    """Whether a launcher started this process as one of several."""
    try:
        membership = detect_membership(environ, default_port=default_port)
    except GroupError as error:
        return Finding("started by", "a launcher whose variables make no sense", "problem", str(error))
    if membership is None:
        return Finding("started by", "nobody: a process alone")
    endpoint = format_endpoint(membership.master_address, membership.master_port)
    return Finding(
        "started by",
        f"{membership.started_by}: rank {membership.rank} of {membership.size}, process "
        f"{membership.local_rank} of {membership.local_size} on this node, master {endpoint}",
    )


def examine_master(name: str, port: int) -> list[Finding]:
    """What the master address means here, and what is at its port.

    Args:
        name: Host name or address of the node that all others are to find.
        port: TCP port there.
    """
    try:
        _, address = resolve(name, port)
        meaning = address if name.strip("[]") == address else f"{name} is {address}"
        if is_own_address(address):
            return [_describe_own(meaning, address), _examine_own_port(address, port)]
        return [_describe_other(meaning, address, port), _examine_other_port(address, port)]
    except GroupError as error:
        return [Finding("master address", name, "problem", str(error))]


def _describe_own(meaning: str, address: str) -> Finding:
    interface = interface_with(address) or "an interface without a name"
    value = f"{meaning}, this machine's own, on {interface}"
    if ip_address(address).is_loopback:
        remedy = (
            "no other machine can reach it: for several nodes, give an address that they all reach; "
            f"this machine has {list_own_addresses()}"
        )
        return Finding("master address", value, "note", remedy)
    return Finding("master address", value)


def _describe_other(meaning: str, address: str, port: int) -> Finding:
    local = local_address_towards(address, port)
    interface = interface_with(local) or "an interface without a name"
    return Finding("master address", f"{meaning}, another machine, reached from {local} on {interface}")


def _examine_own_port(address: str, port: int) -> Finding:
    try:
        bind_listener(address, port).close()
    except GroupError as error:
        return Finding("master port", f"{port} cannot be used here", "problem", str(error))
    return Finding("master port", f"{port} is free here")


def _examine_other_port(address: str, port: int) -> Finding:
    endpoint = format_endpoint(address, port)
    family, place = socket_address(address, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(place)
        except ConnectionRefusedError:
            value = f"{endpoint} can be reached; nothing listens there"
            remedy = "fine before hrdet is started on that node; it must then say the same port"
            return Finding("master port", value, "note", remedy)
        except OSError as error:
            reason = error.strerror or f"no answer in {CONNECT_SECONDS:g} s"
            remedy = (
                "is that machine up, the address right, and the port open in its firewall and in between?"
            )
            return Finding("master port", f"{endpoint}: {reason}", "problem", remedy)
    return Finding("master port", f"{endpoint} answers")
