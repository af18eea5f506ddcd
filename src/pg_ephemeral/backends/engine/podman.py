"""Podman's dialect."""

from __future__ import annotations

from pg_ephemeral.backends.engine import proxies
from pg_ephemeral.backends.engine.address import podman_address
from pg_ephemeral.backends.engine.dialect import Dialect


def _says_rootless(answer: str) -> bool:
    return answer.strip() == "true"


def _quote(text: str) -> str:
    """As it is: everything up to the end of the line counts, and quotes would become part of it."""
    return text


PODMAN = Dialect(
    program="podman",
    local_prefix="localhost/",
    implied_domain="",
    unpaused=(("--pause=false",),),
    version=("version", "--format", "{{.Client.Version}}"),
    rootless=("info", "--format", "{{.Host.Security.Rootless}}"),
    says_rootless=_says_rootless,
    # Its rmi --force would remove the containers that use the image, too.
    forget=("untag",),
    plain_http=("--tls-verify=false",),
    quote=_quote,
    address=podman_address,
    proxies=proxies.of_podman,
    without_proxies=proxies.podman_without,
    credentials="podman",
    platform=("info", "--format", "{{.Host.OS}}/{{.Host.Arch}}"),
    platform_variable="",
    fetched_from="docker.io/",
    start_hint="podman info tells more",
)
