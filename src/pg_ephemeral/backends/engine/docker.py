"""Docker's dialect."""

from __future__ import annotations

import re
from dataclasses import replace

from pg_ephemeral.backends.engine import proxies
from pg_ephemeral.backends.engine.address import docker_address
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import CacheError


def _says_rootless(options: str) -> bool:
    """Docker lists its security options as ``name=rootless``, one a line; old versions without ``name=``."""
    return any(part.removeprefix("name=") == "rootless" for line in options.split() for part in line.split(","))


def _quote(text: str) -> str:
    """A word of a Dockerfile in double quotes, in which ``\\``, ``"`` and ``$`` would mean something.

    Raises ``CacheError`` for what would be another line of it.
    """
    if "\n" in text or "\r" in text:
        raise CacheError(
            f"docker cannot write a label with {text!r} on a stage: it has a line break",
            hint="podman can, and the embedded backend",
        )
    return '"' + re.sub(r'([\\"$])', r"\\\1", text) + '"'


DOCKER = Dialect(
    program="docker",
    local_prefix="",
    implied_domain="docker.io/",
    # From version 29 on the option has another name.
    unpaused=(("--pause=false",), ("--no-pause",)),
    version=("version", "--format", "{{.Server.Version}}"),
    rootless=("info", "--format", "{{range .SecurityOptions}}{{println .}}{{end}}"),
    says_rootless=_says_rootless,
    forget=("image", "rm", "--force"),
    # The daemon has a list of its own, with loopback on it.
    plain_http=(),
    quote=_quote,
    address=docker_address,
    proxies=proxies.of_docker,
    without_proxies=proxies.docker_without,
    credentials="docker",
    platform=("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"),
    platform_variable="DOCKER_DEFAULT_PLATFORM",
    fetched_from="",
    start_hint="is its daemon running, and may you use it? docker info tells more",
    # As the package podman-docker has it.
    stand_in=replace(PODMAN, program="docker"),
)
