"""Remove what processes that are gone left behind, everywhere: run directories, containers, images without a name.

Every run does that for its own backend by the way; this looks further, at everything of this user.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.engine import commands, owner
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import BackendError, ProcessError
from pg_ephemeral.image import ImageWord
from pg_ephemeral.labels import KEY_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One thing that was removed: ``kind`` is ``directory``, ``container`` or ``image``."""

    backend: str
    kind: str
    name: str


def prune() -> Iterator[Removed]:
    """Remove and tell of each thing as it goes. An engine that does not answer is passed over."""
    anything = ImageWord.parse("latest")
    for path in EmbeddedBackend(anything).sweep():
        yield Removed(backend="embedded", kind="directory", name=str(path))
    for dialect in (DOCKER, PODMAN):
        if shutil.which(dialect.program) is None:
            continue
        backend = EngineBackend(dialect, anything)
        for path in backend.sweep():
            yield Removed(backend=backend.name, kind="directory", name=str(path))
        try:
            yield from _containers(backend)
            yield from _images(backend)
        except (BackendError, ProcessError):
            continue


def _containers(backend: EngineBackend) -> Iterator[Removed]:
    """Ours, by their labels, whose process is gone."""
    listed = backend.client.call(
        (
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            f"label={owner.OWNER_LABEL}={owner.owner()}",
            "--format",
            "{{.Names}}",
        )
    )
    names = listed.decode().split()
    if not names:
        return
    # Whatever its status: one that has ended meanwhile is not described, and the others are.
    described = backend.client.try_call(("container", "inspect", *names)).stdout
    for document in json.loads(described or b"[]"):
        name = str(document["Name"]).removeprefix("/")
        process = (document.get("Config") or {}).get("Labels", {}).get(owner.PROCESS_LABEL, "")
        if owner.is_gone(process) and backend.client.try_call(commands.remove(name)).status == 0:
            yield Removed(backend=backend.name, kind="container", name=name)


def _images(backend: EngineBackend) -> Iterator[Removed]:
    """Stages that lost their last name while a server ran on them, or to another that was made at the same time."""
    listed = backend.client.call(
        ("image", "ls", "--quiet", "--no-trunc", "--filter", "dangling=true", "--filter", f"label={KEY_LABEL}")
    )
    for identity in dict.fromkeys(listed.decode().split()):
        # One in use is refused, and rightly.
        if backend.client.try_call(("image", "rm", identity)).status == 0:
            yield Removed(backend=backend.name, kind="image", name=identity)
