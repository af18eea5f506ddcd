"""The proxies that an engine gives to containers, with what it takes to use them: for scripts, and never for stages.

A container that is committed hands its environment on to the image. So a server's container is started without them,
and a script that needs the network is told of them by another way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pg_ephemeral.backends.engine.address import docker_configuration, docker_endpoint
from pg_ephemeral.backends.engine.commands import Arguments

#: The members of docker's configuration, and the variable that each becomes, in upper and in lower case.
_MEMBERS = {
    "httpproxy": "HTTP_PROXY",
    "httpsproxy": "HTTPS_PROXY",
    "ftpproxy": "FTP_PROXY",
    "noproxy": "NO_PROXY",
    "allproxy": "ALL_PROXY",
}
_OF_PODMAN = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY")


def of_docker(environment: Mapping[str, str]) -> dict[str, str]:
    """What docker's command would add to the environment of a container."""
    endpoint = docker_endpoint(environment) or "unix:///var/run/docker.sock"
    try:
        document = json.loads((docker_configuration(environment) / "config.json").read_bytes())
        of_all = _member(document, "proxies")
        chosen = of_all.get(endpoint, of_all.get("default", {}))
        found = {variable: _member(chosen, name) for name, variable in _MEMBERS.items()}
    except (OSError, ValueError, AttributeError):
        return {}  # docker itself says what it does not like
    return {
        spelling: value
        for variable, value in found.items()
        if isinstance(value, str) and value
        for spelling in (variable, variable.lower())
    }


def of_podman(environment: Mapping[str, str]) -> dict[str, str]:
    """What podman would add."""
    spellings = (spelling for variable in _OF_PODMAN for spelling in (variable, variable.lower()))
    return {spelling: environment[spelling] for spelling in spellings if environment.get(spelling)}


def docker_without(environment: Mapping[str, str], of_image: Mapping[str, str]) -> Arguments:
    """The options of ``docker run`` that leave a container with the variables of its image.

    There is none but to state each; which is done only where docker has any, for they stay in the stage.
    """
    try:
        has_some = b"prox" in (docker_configuration(environment) / "config.json").read_bytes().lower()
    except OSError:
        has_some = False
    if not has_some:
        return ()
    spellings = [spelling for variable in _MEMBERS.values() for spelling in (variable, variable.lower())]
    return tuple(word for name in spellings for word in ("--env", f"{name}={of_image.get(name, '')}"))


def podman_without(_environment: Mapping[str, str], _of_image: Mapping[str, str]) -> Arguments:
    """The same of ``podman run``."""
    return ("--http-proxy=false",)


def _member(document: Any, name: str) -> Any:
    """As docker reads it: whatever the case of its letters."""
    return next((value for key, value in document.items() if key.lower() == name), {})
