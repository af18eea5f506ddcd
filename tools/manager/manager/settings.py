"""What a run is about: its instance and its place in a registry, from GitHub's variables or their fallbacks. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: Set by GitHub Actions: ``owner/name`` of the repository, and a number that is this run's alone.
REPOSITORY_VARIABLE = "GITHUB_REPOSITORY"
RUN_VARIABLE = "GITHUB_RUN_ID"

_GITHUB_REGISTRY = "ghcr.io"
#: Without GitHub, nothing leaves this machine unless it is told to.
_LOCAL_REGISTRY = "localhost:5000"
_LOCAL_PATH = "pg-ephemeral/local"

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
_RUN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``instance`` is unique among runs, ``registry`` is a host and a path, ``token`` is unique among all attempts.

    ``backend`` and ``image`` of None leave the choice to pg-ephemeral.
    """

    instance: str
    registry: str
    token: str
    backend: str | None = None
    image: str | None = None

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        *,
        token: str,
        host: str | None = None,
        backend: str | None = None,
        image: str | None = None,
    ) -> Settings:
        """Read the variables; ``host`` is another registry than theirs. Raises ``ValueError`` naming the variable."""
        repository = environment.get(REPOSITORY_VARIABLE, "")
        run = environment.get(RUN_VARIABLE, "") or f"local-{token}"
        if repository and not _REPOSITORY.fullmatch(repository):
            raise ValueError(f"{REPOSITORY_VARIABLE} is {repository!r}, which is not owner/name")
        if not _RUN.fullmatch(run):
            raise ValueError(f"{RUN_VARIABLE} is {run!r}, which cannot be part of an instance's name")
        if host is not None and not _REGISTRY.fullmatch(host):
            raise ValueError(f"{host!r} is not a registry's host, such as localhost:5000")
        usual = _GITHUB_REGISTRY if repository else _LOCAL_REGISTRY
        # Registries know no upper case; GitHub's owners do.
        path = repository.lower() or _LOCAL_PATH
        return cls(
            instance=f"cache-test-{run}",
            registry=f"{host or usual}/{path}",
            token=token,
            backend=backend,
            image=image,
        )
