"""How containers are reached from a container that may run beside them: the first of them shows it.

Ours may have the network of the engine's host, that of the engine's other containers, or another (compose and CI give
every project one of its own), between which engines let nothing pass.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from pg_ephemeral.backends.engine.address import NATIVE, VARIABLE, Address
from pg_ephemeral.postgres.server_settings import LOOPBACK

_ROUTES = Path("/proc/net/route")
#: To see whether a port on an address of ours is open, in seconds.
_LOOK = 2.0


class Route(Struct, frozen=True, kw_only=True):
    """A line of the kernel's table: which addresses, and by way of whom; None is directly."""

    network: ipaddress.IPv4Network
    gateway: ipaddress.IPv4Address | None


def read_routes(text: str) -> tuple[Route, ...]:
    """Read ``/proc/net/route``: hexadecimal, the bytes in the machine's order."""
    found = []
    for line in text.splitlines()[1:]:
        destination, gateway, mask = (_in_machine_order(line.split()[at]) for at in (1, 2, 7))
        network = ipaddress.IPv4Network((int(destination), str(mask)))
        found.append(Route(network=network, gateway=gateway if int(gateway) else None))
    return tuple(found)


def _in_machine_order(digits: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(digits, 16).to_bytes(4, sys.byteorder))


def from_beside(port: int, own: Callable[[], str], *, routes: tuple[Route, ...] | None = None) -> Address:
    """How to reach containers, told by the first, with ``port`` on the engine's loopback and the address ``own``.

    On our loopback, when our network is that of the engine's host. At its own address, when it is a neighbour of ours.
    Else we are on another of the engine's networks, from which no container of the first is reached; but its host is,
    which is our gateway, if the port is published there.
    """
    if _is_open(LOOPBACK, port):
        return NATIVE
    if routes is None:
        routes = _our_routes()
    neighbour = ipaddress.ip_address(own())
    gateway = next((route.gateway for route in routes if route.gateway and not route.network.prefixlen), None)
    if gateway is None or any(neighbour in route.network for route in routes if route.gateway is None):
        return Address(publish=LOOPBACK, connect=None)
    return Address(
        publish=str(gateway),
        connect=str(gateway),
        advice=f"this container is on another network than the engine's: is its gateway, {gateway}, the engine's host, "
        f"and may it connect there? Else set {VARIABLE} to where published ports are reached",
    )


def _our_routes() -> tuple[Route, ...]:
    try:
        return read_routes(_ROUTES.read_text())
    except (OSError, ValueError, IndexError):
        return ()


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_LOOK).close()
    except OSError:
        return False
    return True
