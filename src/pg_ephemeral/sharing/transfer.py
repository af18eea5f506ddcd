"""What pulling and pushing have in common: who is where, and what is told while a stage travels."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec import Struct

from pg_ephemeral.cache import Cache
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import DefinitionError, RegistryError
from pg_ephemeral.oci.endpoint import registry_of
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.progress import Progress, TransferFinished, Transferring, TransferStarted

_CLUSTER = "the empty cluster"


def require_registry(cache: Cache) -> None:
    """Raise ``DefinitionError`` when stages have no place in a registry."""
    if cache.definition.shared_repository is None:
        raise DefinitionError(
            f"instance {cache.definition.instance!r} has no cache registry",
            hint="set cache_registry in database.toml, or give --cache-registry, such as ghcr.io/owner/project",
        )


class Travelling(Struct, frozen=True, kw_only=True):
    """A stage on its way, of which ``progress`` is told. ``name`` is its seed's."""

    name: str
    push: bool
    progress: Progress
    began: float

    def count(self, done: int, total: int) -> None:
        """So many bytes of so many have moved."""
        self.progress(Transferring(done=done, total=total))

    def arrived(self, sent: int | None = None) -> None:
        """It is there; ``sent`` bytes travelled, if that is known."""
        seconds = time.monotonic() - self.began
        self.progress(TransferFinished(name=self.name, push=self.push, seconds=seconds, sent=sent))


def departing(name: str, reference: Reference, progress: Progress, *, push: bool) -> Travelling:
    """Say that a stage is being pulled, or pushed."""
    progress(TransferStarted(name=name, registry=registry_of(reference.name), push=push))
    return Travelling(name=name, push=push, progress=progress, began=time.monotonic())


def name_of(cache: Cache, key: CacheKey) -> str:
    """Whose stage it is, for people."""
    names: Mapping[CacheKey | None, str] = {stage.key: stage.name for stage in cache.chain.stages}
    return names.get(key, _CLUSTER)


def instead(error: RegistryError, what: str, hint: str | None = None) -> str:
    """A warning: what went wrong, what is done instead, and what would help, if need be ``hint``."""
    helps = error.hint or hint
    return f"{error.message}; {what}{f' ({helps})' if helps else ''}"
