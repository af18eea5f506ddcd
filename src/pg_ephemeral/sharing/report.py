"""What pull, push and sync did, as values, and as the documents of ``--json``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pg_ephemeral.cache import Cache
from pg_ephemeral.oci.endpoint import registry_of
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State


class Looked(Struct, frozen=True, kw_only=True):
    """One stage that was looked for in the registry, and how that stands to it."""

    name: str
    reference: Reference
    state: State

    def to_json(self) -> dict[str, str]:
        """For ``--json``."""
        return {"name": self.name, "cache_image": str(self.reference), "state": self.state.value}


class PullReport(Struct, frozen=True, kw_only=True):
    """What ``cache pull`` did. ``present`` is the newest stage that was here before; ``looked`` is newest first."""

    cache: Cache
    present: Reference | None
    pulled: Reference | None
    looked: tuple[Looked, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache pull --json``, keys in their order."""
        newest = self.pulled or self.present
        return {
            "instance": str(self.cache.definition.instance),
            "registry": registry_of(self.cache.repository),
            "found": None if newest is None else str(newest),
            "pulled": None if self.pulled is None else str(self.pulled),
            "present": None if self.present is None else str(self.present),
            "complete": newest is not None and newest == self.cache.reference(self.cache.chain.keys[-1]),
            "looked": [one.to_json() for one in self.looked],
        }


class Pushed(Struct, frozen=True, kw_only=True):
    """One stage and what became of it: ``pushed``, or ``present``: the registry had it. ``sent`` counts bytes."""

    name: str
    reference: Reference
    status: str
    sent: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"name": self.name, "cache_image": str(self.reference), "status": self.status, "sent_bytes": self.sent}


class PushReport(Struct, frozen=True, kw_only=True):
    """What ``cache push`` did, oldest stage first."""

    cache: Cache
    stages: tuple[Pushed, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache push --json``, keys in their order."""
        return {
            "instance": str(self.cache.definition.instance),
            "registry": registry_of(self.cache.repository),
            "pushed": sum(stage.status == "pushed" for stage in self.stages),
            "stages": [stage.to_json() for stage in self.stages],
        }


class SyncReport(Struct, frozen=True, kw_only=True):
    """What ``cache sync`` did; a part that was given up is None, and ``warnings`` say why."""

    pulled: PullReport | None
    pushed: PushReport | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache sync --json``, keys in their order."""
        return {
            "pull": None if self.pulled is None else self.pulled.to_json(),
            "push": None if self.pushed is None else self.pushed.to_json(),
            "warnings": list(self.warnings),
        }
