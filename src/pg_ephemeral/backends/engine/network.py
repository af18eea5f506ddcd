"""Whose network a server's container has: one of its own, with a published port, or this host's.

To make a network and to take it down costs an engine more than all else about a container. Where nothing but PostgreSQL
and its client programs runs in it, listening on loopback alone, it needs none: it takes a free port of this host, as a
server without a container does. Where that turns out not to be our network (an engine in a virtual machine, without
root's rights, or that refuses), the container is made again with one of its own, and the engine's next ones at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.backends.base import ServerSpec
from pg_ephemeral.backends.engine.address import Address
from pg_ephemeral.errors import CacheError, ServerError
from pg_ephemeral.paths import ensure_directory

#: ``own`` gives every container a network of its own.
VARIABLE = "PG_EPHEMERAL_ENGINE_NETWORK"
_OWN = "own"

#: The entry point of official images, which does nothing but run PostgreSQL where there is a cluster.
_OFFICIAL = (("docker-entrypoint.sh",), ("/usr/local/bin/docker-entrypoint.sh",))

_NAMESPACE = Path("/proc/self/ns/net")

#: How long an engine that would not is not asked again, in seconds.
_REMEMBERED = 7 * 86_400.0


class NotOurNetwork(ServerError):
    """A container has a network of this host's name, but its port is not reached from here."""


class Networks:
    """The choice for one engine; ``note`` is the file that says in whose place it was tried in vain."""

    def __init__(self, note: Path, *, environment: Mapping[str, str] = os.environ) -> None:
        self._note = note
        self._wanted = environment.get(VARIABLE) != _OWN
        self._tried_in_vain: bool | None = None

    def is_shared(self, address: Address, spec: ServerSpec, entrypoint: Sequence[str]) -> bool:
        """Whether a container in which nothing is done but by this entry point may have this host's network."""
        if not (self._wanted and address.shares_networks) or spec.own_network or spec.directories:
            return False
        return tuple(entrypoint) in _OFFICIAL and not self._in_vain()

    def note_in_vain(self) -> None:
        """Never again, for a while."""
        self._tried_in_vain = True
        with suppress(OSError, CacheError):  # it only saves the next one some time
            ensure_directory(self._note.parent)
            self._note.write_text(_our_network())

    def _in_vain(self) -> bool:
        if self._tried_in_vain is None:
            try:
                recent = time.time() - self._note.stat().st_mtime < _REMEMBERED
                self._tried_in_vain = recent and self._note.read_text() == _our_network()
            except (OSError, ValueError):
                self._tried_in_vain = False
        return self._tried_in_vain


def _our_network() -> str:
    """The kernel's number for it: a container that shares our cache directory has another (network_namespaces(7))."""
    return str(_NAMESPACE.stat().st_ino)
