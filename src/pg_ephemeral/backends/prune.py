"""Remove what processes that are gone left behind, everywhere: run directories, containers, images without a name.

Every run does that for its own backend by the way; this does it for all, and now.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.engine import leftovers
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.client import EngineClient
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
        client = EngineClient(dialect=dialect)
        try:
            for name in leftovers.remove(client):
                yield Removed(backend=backend.name, kind="container", name=name)
            yield from _images(client)
        except (BackendError, ProcessError):
            continue


def _images(client: EngineClient) -> Iterator[Removed]:
    """Stages that lost their last name while a server ran on them, or to another that was made at the same time."""
    listed = client.call(
        ("image", "ls", "--quiet", "--no-trunc", "--filter", "dangling=true", "--filter", f"label={KEY_LABEL}")
    )
    for identity in dict.fromkeys(listed.decode().split()):
        # One in use is refused, and rightly.
        if client.try_call(("image", "rm", identity)).status == 0:
            yield Removed(backend=client.dialect.program, kind="image", name=identity)
