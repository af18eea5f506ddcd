"""What happens during long work, as events. The library reports them; the command line shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class ClusterStarted(Struct, frozen=True, kw_only=True):
    """Stage 0, an empty cluster of this PostgreSQL version, is being made."""

    version: str


class SeedStarted(Struct, frozen=True, kw_only=True):
    """A seed is being applied: to become a stage, or, when ``cached`` is False, for this boot alone.

    ``position`` counts from 1 to ``total``, over all seeds of the definition.
    """

    name: str
    kind: str
    position: int
    total: int
    cached: bool


class SeedFinished(Struct, frozen=True, kw_only=True):
    """It was applied, and committed if it is cached, after this many seconds."""

    name: str
    cached: bool
    seconds: float


class Waiting(Struct, frozen=True, kw_only=True):
    """Another process is making the stage of this name; we wait to use it."""

    name: str


class Finished(Struct, frozen=True, kw_only=True):
    """Everything asked for is there: how many seeds were built, reused and replayed, and the seconds it took.

    ``booted`` tells a running server from a populated cache.
    """

    instance: str
    built: int
    reused: int
    replayed: int
    seconds: float
    booted: bool


class TransferStarted(Struct, frozen=True, kw_only=True):
    """A stage is being pulled from, or with ``push`` sent to, a registry. ``name`` is its seed's."""

    name: str
    registry: str
    push: bool


class Transferring(Struct, frozen=True, kw_only=True):
    """So many bytes of so many have moved; ``total`` is 0 while it is not known."""

    done: int
    total: int


class TransferFinished(Struct, frozen=True, kw_only=True):
    """It is there, after this many seconds. ``sent`` counts the bytes that travelled, None if that is unknown."""

    name: str
    push: bool
    seconds: float
    sent: int | None = None


class Note(Struct, frozen=True, kw_only=True):
    """Something that whoever runs this should read; ``warning`` when a part of the work was given up."""

    text: str
    warning: bool = False


Event: TypeAlias = (
    ClusterStarted
    | SeedStarted
    | SeedFinished
    | Waiting
    | Finished
    | TransferStarted
    | Transferring
    | TransferFinished
    | Note
)
Progress: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Show nothing."""
