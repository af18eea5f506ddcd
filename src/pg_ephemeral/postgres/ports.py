"""Ports on loopback, for servers that are about to listen on one."""

from __future__ import annotations

import socket

from pg_ephemeral.postgres.server_settings import LOOPBACK

#: How often to try another one: between our look and the server's bind another process may have taken it.
ATTEMPTS = 5

#: What a server says of that.
TAKEN = "Address already in use"


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
