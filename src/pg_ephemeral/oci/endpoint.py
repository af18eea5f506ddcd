"""Where a repository is served and under which names its credentials are kept: Docker Hub's peculiarities. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from pg_ephemeral.oci.reference import Domain, Name

__all__ = [
    "api_host",
    "credential_keys",
    "helper_key",
    "is_local",
    "is_loopback",
    "origin",
    "place",
    "registry_of",
    "resolved",
    "served_as",
    "without_secrets",
]

_HUB = "docker.io"
_HUB_API = "registry-1.docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({_HUB, "index.docker.io", _HUB_API})

_DEFAULT_PORTS = {"http": 80, "https": 443}

_USER = re.compile(r"(\b[a-z]+://)[^\s/?#@\"']+@")
_QUERY = re.compile(r"(\b[a-z]+://[^\s?#\"']*)[?#][^\s\"']*")


def registry_of(name: Name) -> str:
    """The registry's ``host[:port]`` as its users write it; without a domain it is Docker Hub, as with the engines."""
    host = str(name.domain) if name.domain else _HUB
    return _HUB if host in _HUB_NAMES else host


def api_host(registry: str) -> str:
    """The ``host[:port]`` that serves the registry's API."""
    return _HUB_API if registry == _HUB else registry


def served_as(name: Name) -> str:
    """The repository's path in its registry; Docker Hub keeps single names below ``library``."""
    path = str(name.path)
    return f"library/{path}" if registry_of(name) == _HUB and "/" not in path else path


def credential_keys(name: Name) -> tuple[str, ...]:
    """The keys under which its credentials may be kept, the most specific first: ``host/a/b``, ``host/a``, ``host``."""
    registry = registry_of(name)
    parts = served_as(name).split("/")
    scoped = tuple("/".join((registry, *parts[:end])) for end in range(len(parts), 0, -1))
    return (*scoped, *((_HUB, "index.docker.io", _HUB_API) if registry == _HUB else (registry,)))


def helper_key(registry: str) -> str:
    """What credential helpers call the registry."""
    return _HUB_KEY if registry == _HUB else registry


def is_loopback(registry: str) -> bool:
    """Whether the registry is on this machine for certain: a loopback address, or a name that may mean nothing else."""
    host = Domain.parse(registry).host
    if host.address is not None:
        return host.address.is_loopback
    return is_local(host.text)


def is_local(host: str) -> bool:
    """Whether a URL's host is this machine or its link, where nobody else can have anything to offer us."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_link_local or address.is_unspecified


def resolved(url: str, location: str = "") -> SplitResult | None:
    """Where ``location``, given by others in an answer to ``url``, leads; None when it cannot be read."""
    try:
        parts = urlsplit(urljoin(url, location))
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


def place(parts: SplitResult) -> str:
    """Scheme, host and port of a URL, for messages: neither a user nor a path that may be signed."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def without_secrets(text: str) -> str:
    """The words of others, with URLs shortened by what may prove who somebody is: the user and the query."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1", text))


def origin(url: str | SplitResult) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL: what must be equal for credentials to go along."""
    parts = urlsplit(url) if isinstance(url, str) else url
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS.get(parts.scheme)
