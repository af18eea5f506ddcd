"""How a container beside ours is reached: on loopback, at its own address, or by our gateway."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from pg_ephemeral.backends.engine.address import NATIVE, VARIABLE
from pg_ephemeral.backends.engine.beside import Route, from_beside, read_routes

_HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
_ON_A_NETWORK = (
    Route(network=IPv4Network("0.0.0.0/0"), gateway=IPv4Address("172.19.0.1")),
    Route(network=IPv4Network("172.19.0.0/16"), gateway=None),
)


def in_hexadecimal(address: str) -> str:
    """As the kernel of this machine writes it."""
    return f"{int.from_bytes(IPv4Address(address).packed, sys.byteorder):08X}"


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def unasked() -> str:
    raise AssertionError("nobody need be asked")


def test_the_kernels_table_is_read() -> None:
    lines = [
        ("0.0.0.0", "172.19.0.1", "0.0.0.0"),
        ("172.19.0.0", "0.0.0.0", "255.255.0.0"),
        ("10.1.2.0", "172.19.0.9", "255.255.255.0"),
    ]
    rows = (
        f"eth0\t{in_hexadecimal(to)}\t{in_hexadecimal(by)}\t0003\t0\t0\t0\t{in_hexadecimal(mask)}\t0\t0\t0   \n"
        for to, by, mask in lines
    )
    assert read_routes(_HEADER + "".join(rows)) == (
        *_ON_A_NETWORK,
        Route(network=IPv4Network("10.1.2.0/24"), gateway=IPv4Address("172.19.0.9")),
    )
    assert read_routes(_HEADER) == ()


# fault: W60
def test_what_is_on_our_loopback_is_reached_there(open_port: int) -> None:
    assert from_beside(open_port, unasked, routes=_ON_A_NETWORK) == NATIVE


# fault: W60
def test_a_neighbour_is_reached_at_its_own_address(closed_port: int) -> None:
    address = from_beside(closed_port, lambda: "172.19.0.7", routes=_ON_A_NETWORK)
    assert (address.publish, address.connect, address.beside) == ("127.0.0.1", None, False)


# fault: W60
def test_what_is_on_another_network_is_reached_by_our_gateway(closed_port: int) -> None:
    address = from_beside(closed_port, lambda: "172.17.0.7", routes=_ON_A_NETWORK)
    assert (address.publish, address.connect, address.beside) == ("172.19.0.1", "172.19.0.1", False)
    assert "172.19.0.1" in address.advice
    assert VARIABLE in address.advice


def test_without_a_gateway_there_is_only_its_own_address(closed_port: int) -> None:
    for routes in ((), _ON_A_NETWORK[1:]):
        assert from_beside(closed_port, lambda: "172.17.0.7", routes=routes).connect is None


def test_this_machines_own_table_can_be_read(closed_port: int) -> None:
    assert from_beside(closed_port, lambda: "127.0.0.1").beside is False
