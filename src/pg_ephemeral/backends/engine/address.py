"""Where a container's published port is reached from here: on loopback, on a remote engine's host, or beside us.

Read from what the engines' own clients read, without asking them: variables, docker's context files. Beside us it takes
a look, see ``beside``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from pg_ephemeral.errors import BackendError
from pg_ephemeral.postgres.server_settings import LOOPBACK

#: The host to connect to, for engines whose ports come out elsewhere than we would look.
VARIABLE = "PG_EPHEMERAL_ENGINE_HOST"

#: Asked for only where the engine is on another host than we are.
_ANY, _ANY6 = "0.0.0.0", "::"  # noqa: S104
_IN_A_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))


class Address(Struct, frozen=True, kw_only=True):
    """Where to publish the port, and the IP address to connect to; None is the container's own.

    ``beside``: we may be in a container ourselves, and have to look. ``shares_networks``: a container that is given the
    network of the engine's host should have ours. ``advice`` is what to do when the port is not reached.
    """

    publish: str
    connect: str | None
    beside: bool = False
    shares_networks: bool = False
    advice: str = f"if the engine is on another host, set {VARIABLE} to that"


#: Of an engine whose ports are on our own loopback.
LOCAL = Address(publish=LOOPBACK, connect=LOOPBACK)
#: Of one that runs on this very system.
NATIVE = Address(publish=LOOPBACK, connect=LOOPBACK, shares_networks=True)

#: Where Docker's engine is unless it is elsewhere; others on a socket may be in a virtual machine or elsewhere.
_NATIVE_DOCKER = ("", "unix:///var/run/docker.sock", "unix:///run/docker.sock")


def docker_address(environment: Mapping[str, str], *, inside: bool | None = None) -> Address:
    """For docker: by ``DOCKER_HOST``, else the context that is in use. Raises ``BackendError``.

    ``inside`` says whether we run in a container ourselves, beside those we start.
    """
    endpoint = docker_endpoint(environment)
    return _address(environment, endpoint, inside=inside, native=endpoint in _NATIVE_DOCKER)


def podman_address(environment: Mapping[str, str], *, inside: bool | None = None) -> Address:
    """For podman: by ``CONTAINER_HOST``. A podman machine forwards its ports to loopback. Raises ``BackendError``."""
    endpoint = environment.get("CONTAINER_HOST", "")
    # Without a remote, containers are our children: their ports are where we are, in a container or not.
    return _address(environment, endpoint, inside=inside if endpoint else False, native=not endpoint)


def _address(environment: Mapping[str, str], endpoint: str, *, inside: bool | None, native: bool) -> Address:
    # Elsewhere than on Linux containers are in a virtual machine.
    native = native and sys.platform == "linux"
    chosen = environment.get(VARIABLE)
    if chosen:
        return _remote(_resolve(chosen, said_by=VARIABLE))
    try:
        parts = urlsplit(endpoint)
    except ValueError as error:
        raise BackendError(f"the engine's address {endpoint!r} cannot be read: {error}") from error
    if parts.scheme in {"tcp", "ssh", "http", "https"} and parts.hostname:
        return _remote(_resolve(parts.hostname, said_by=f"the engine's address {parts.scheme}://{parts.hostname}"))
    if inside if inside is not None else any(path.exists() for path in _IN_A_CONTAINER):
        # The engine may run in the same container as we.
        return Address(publish=LOOPBACK, connect=LOOPBACK, beside=True, shares_networks=native)
    return NATIVE if native else LOCAL


def _remote(address: str) -> Address:
    known = ipaddress.ip_address(address.partition("%")[0])
    if known.is_loopback:
        return LOCAL
    return Address(publish=_ANY if known.version == 4 else _ANY6, connect=address)


def docker_configuration(environment: Mapping[str, str]) -> Path:
    """The directory in which docker's command keeps its configuration."""
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 -- it never raises
    return Path(environment.get("DOCKER_CONFIG") or Path(home) / ".docker")


def docker_endpoint(environment: Mapping[str, str]) -> str:
    """Where docker's command finds its engine; empty for the default place, or when there is nothing to be read."""
    if environment.get("DOCKER_HOST"):
        return environment["DOCKER_HOST"]
    directory = docker_configuration(environment)
    try:
        name = environment.get("DOCKER_CONTEXT")
        if not name:
            name = json.loads((directory / "config.json").read_bytes()).get("currentContext")
        if not name or name == "default":
            return ""
        about = directory / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        return str(json.loads(about.read_bytes())["Endpoints"]["docker"].get("Host") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # docker itself says what it does not like


def _resolve(host: str, *, said_by: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BackendError(
            f"{said_by}: {host!r} has no address: {error}",
            hint=f"set {VARIABLE} to the host at which published ports are reached",
        ) from error
    # Engines publish on addresses of the fourth version everywhere, and on those of the sixth where they are set up to.
    return str(min(found, key=lambda one: one[0] is not socket.AF_INET)[4][0])
