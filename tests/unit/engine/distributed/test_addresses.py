"""Addresses of this machine, with real sockets on the loopback; other networks are in tests/distributed."""

import socket

import pytest

from hrdet_cli.engine.distributed import addresses
from hrdet_cli.engine.distributed.addresses import (
    format_endpoint,
    interface_with,
    is_own_address,
    list_own_addresses,
    local_address_towards,
    own_addresses,
    resolve,
)
from hrdet_cli.errors import GroupError

OF_NOBODY = "203.0.113.7"
"""From the block that RFC 5737 keeps for documentation."""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


def answer_with(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """The resolver knows these addresses for every name."""
    places = [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 1))
        for address in found
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)


@pytest.mark.parametrize(
    ("name", "family", "address"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("203.0.113.7", socket.AF_INET, "203.0.113.7"),
        ("localhost", socket.AF_INET, "127.0.0.1"),
        pytest.param("::1", socket.AF_INET6, "::1", marks=needs_ipv6),
        pytest.param("[::1]", socket.AF_INET6, "::1", marks=needs_ipv6),
        pytest.param("2001:db8:0::0:7", socket.AF_INET6, "2001:db8::7", marks=needs_ipv6),
    ],
)
def test_a_name_becomes_a_numeric_address(name: str, family: socket.AddressFamily, address: str) -> None:
    assert resolve(name, 29500) == (family, address)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        (["127.0.1.1", "10.0.0.5"], "10.0.0.5"),
        (["::1", "fd00::5"], "fd00::5"),
        (["fd00::5", "10.0.0.5"], "10.0.0.5"),
        (["10.0.0.6", "10.0.0.5"], "10.0.0.6"),
    ],
)
def test_a_name_with_several_addresses_means_the_same_one_everywhere(
    monkeypatch: pytest.MonkeyPatch, found: list[str], chosen: str
) -> None:
    answer_with(monkeypatch, *found)
    assert resolve("node1", 29500)[1] == chosen


@pytest.mark.parametrize("address", ["127.0.1.1", "::1"])
def test_a_name_that_other_nodes_cannot_use_is_refused_with_those_they_can(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answer_with(monkeypatch, address)
    monkeypatch.setattr(addresses, "own_addresses", lambda: ["10.0.0.1", "fd00::1"])
    with pytest.raises(GroupError) as raised:
        resolve("node1", 29500)
    assert str(raised.value) == (
        f"the host name 'node1' means {address} on {socket.gethostname()}, which no other node reaches (see "
        "/etc/hosts); give an address as --master-addr on every node: 10.0.0.1, fd00::1"
    )


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 300 + ".invalid"])
def test_an_unknown_name_is_refused_with_the_host_that_does_not_know_it(name: str) -> None:
    with pytest.raises(GroupError) as raised:
        resolve(name, 29500)
    message = str(raised.value)
    assert message.startswith(f"the host name '{name}' is unknown on {socket.gethostname()} (")
    assert message.endswith(
        "; check --master-addr, or give the numeric address of the node with rank 0 on every node"
    )


@pytest.mark.parametrize("name", ["0", pytest.param("::", marks=needs_ipv6)])
def test_the_address_of_every_machine_is_refused(name: str) -> None:
    with pytest.raises(GroupError, match=f"'{name}' stands for all addresses of a machine"):
        resolve(name, 29500)


@pytest.mark.parametrize(
    ("address", "expected"), [("10.0.0.1", "10.0.0.1:29500"), ("fd00::1", "[fd00::1]:29500")]
)
def test_an_endpoint_is_written_as_in_a_url(address: str, expected: str) -> None:
    assert format_endpoint(address, 29500) == expected


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True),
        ("127.0.1.1", True),
        (OF_NOBODY, False),
        pytest.param("::1", True, marks=needs_ipv6),
        pytest.param("2001:db8::7", False, marks=needs_ipv6),
    ],
)
def test_an_address_is_own_if_a_socket_can_be_bound_to_it(address: str, own: bool) -> None:
    assert is_own_address(address) is own


@pytest.mark.parametrize("address", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_packets_to_the_loopback_leave_from_it(address: str) -> None:
    assert local_address_towards(address, 29500) == address


def test_a_missing_route_is_an_error_that_lists_the_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "own_addresses", lambda: ["10.0.0.1", "fd00::1"])
    with pytest.raises(GroupError) as raised:
        local_address_towards(
            "255.255.255.255", 29500
        )  # broadcasting needs a permission: no address to leave from
    assert str(raised.value) == (
        f"{socket.gethostname()} has no route to 255.255.255.255 (Permission denied); its own addresses are "
        "10.0.0.1, fd00::1: check --master-addr and the network"
    )


def test_the_interface_of_the_loopback_address_is_the_loopback() -> None:
    names = {name for _, name in socket.if_nameindex()}
    assert interface_with("127.0.0.1") in names & {"lo", "lo0"}
    assert interface_with(OF_NOBODY) is None


@needs_ipv6
def test_the_interface_of_an_ipv6_address_is_found() -> None:
    assert interface_with("::1") == interface_with("127.0.0.1")
    assert interface_with("2001:db8::7") is None


def test_own_addresses_are_own_and_not_of_the_loopback() -> None:
    found = own_addresses()
    assert all(is_own_address(address) and interface_with(address) for address in found)
    assert not [address for address in found if address.startswith("127.") or address == "::1"]
    assert list_own_addresses() == (", ".join(found) or "none")
