"""Which backend to use: an explicit table, and the order in which ``auto`` tries."""

from __future__ import annotations

from pg_ephemeral.backends.base import Backend
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.definition import BackendChoice, Definition
from pg_ephemeral.errors import BackendError


def select(definition: Definition) -> Backend:
    """The backend this definition asks for, bound to its image. Raises ``BackendError`` when it is not available."""
    if definition.backend in (BackendChoice.AUTO, BackendChoice.EMBEDDED):
        return EmbeddedBackend(definition.image, tls=definition.tls is not None)
    raise BackendError(
        f"backend {definition.backend.value!r} is not part of this release, which has: embedded",
        hint="use backend auto or embedded",
    )
