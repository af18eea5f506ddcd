"""What to do about a chain, given which of its stages are present. Pure.

Planning starts from the newest present stage: one pulled image is enough, even when every older stage is absent.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct

from pg_ephemeral.chain import CacheKey, Chain, Stage


class Status(StrEnum):
    """Where a seed stands."""

    HIT = "hit"
    MISS = "miss"
    UNCACHEABLE = "uncacheable"


class Reason(StrEnum):
    """Why a seed is uncacheable."""

    CACHE_STRATEGY_NONE = "cache_strategy_none"
    CHAIN_BROKEN_BY_PREDECESSOR = "chain_broken_by_predecessor"


class SeedStatus(Struct, frozen=True, kw_only=True):
    """One seed's line in ``cache status``."""

    stage: Stage
    status: Status
    reason: Reason | None = None
    broken_by: str | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """Start from ``start`` (None: from nothing, and make stage 0), build, then replay what cannot be cached.

    ``reused`` counts the seeds whose work ``start`` already holds.
    """

    chain: Chain
    start: CacheKey | None
    build: tuple[Stage, ...]
    replay: tuple[Stage, ...]

    @property
    def reused(self) -> int:
        """How many seeds need not run."""
        return len(self.chain.stages) - len(self.build) - len(self.replay)

    @property
    def complete(self) -> bool:
        """Whether every cacheable stage that a boot needs is present."""
        return self.start is not None and not self.build

    @property
    def next_key(self) -> CacheKey | None:
        """The key of the first thing to make, stage 0 included; None when there is nothing to make."""
        if self.start is None:
            return self.chain.cluster
        return self.build[0].key if self.build else None


def make_plan(chain: Chain, present: Collection[CacheKey]) -> Plan:
    """Start at the newest present stage; build the cacheable ones after it; replay the others."""
    cacheable = chain.cacheable
    start: CacheKey | None = chain.cluster if chain.cluster in present else None
    build = cacheable
    for index in range(len(cacheable) - 1, -1, -1):
        if cacheable[index].key in present:
            start, build = cacheable[index].key, cacheable[index + 1 :]
            break
    return Plan(chain=chain, start=start, build=build, replay=chain.stages[len(cacheable) :])


def seed_statuses(chain: Chain, present: Collection[CacheKey]) -> tuple[SeedStatus, ...]:
    """Every seed's own status, whatever the others' are."""
    return tuple(_status(stage, chain.breaker, present) for stage in chain.stages)


def _status(stage: Stage, breaker: Stage | None, present: Collection[CacheKey]) -> SeedStatus:
    if stage.key is not None:
        return SeedStatus(stage=stage, status=Status.HIT if stage.key in present else Status.MISS)
    if breaker is None or breaker is stage:
        return SeedStatus(stage=stage, status=Status.UNCACHEABLE, reason=Reason.CACHE_STRATEGY_NONE)
    return SeedStatus(
        stage=stage,
        status=Status.UNCACHEABLE,
        reason=Reason.CHAIN_BROKEN_BY_PREDECESSOR,
        broken_by=breaker.name,
    )
