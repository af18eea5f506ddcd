"""Building what is missing of a chain: one server is carried from stage to stage, and each is kept when it is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec import Struct

from pg_ephemeral.backends.base import Handle, ServerSpec
from pg_ephemeral.cache import Cache, open_cache
from pg_ephemeral.chain import CacheKey, Stage
from pg_ephemeral.errors import (
    BackendError,
    BaseMoved,
    CacheError,
    ClientError,
    PgEphemeralError,
    SeedFailed,
    ServerError,
    StageGone,
)
from pg_ephemeral.lock import exclusive, turns, undisturbed
from pg_ephemeral.plan import Plan, make_plan
from pg_ephemeral.postgres import parameters
from pg_ephemeral.progress import ClusterStarted, Finished, Note, Progress, SeedFinished, SeedStarted, Waiting, silent
from pg_ephemeral.server import SeedTarget

#: Within this many seconds of losing a connection we know whether it was the server's end.
_DEATH_IS_KNOWN = 0.2


class Populated(Struct, frozen=True, kw_only=True):
    """Every cacheable stage is present. ``handle``, if any, is a stopped server that holds the last of them.

    ``cache`` is the one that was asked for, or, if the base turned out to be another, one of that.
    """

    cache: Cache
    plan: Plan
    handle: Handle | None
    built: int


def populate(cache: Cache, *, progress: Progress = silent) -> Populated:
    """Build what is missing, starting from the newest stage that is present.

    Of several processes that want one stage, one builds it and the others wait for it. Raises ``SeedFailed``,
    ``ServerError``, ``CacheError``, and ``BackendError`` before anything starts for a seed this backend cannot apply.
    """
    _check_supported(cache)
    try:
        return _populate(cache, progress)
    except BaseMoved as error:
        progress(Note(text=f"{error.message}; planning again"))
        return _populate(open_cache(cache.definition, cache.backend), progress)


def _populate(cache: Cache, progress: Progress) -> Populated:
    builder = _Builder(cache, progress)
    seen, present = _look(cache)
    try:
        while (plan := make_plan(cache.chain, present)).next_key is not None:
            lock = cache.backend.lock_file(plan.next_key)
            with exclusive(lock, waiting=partial(progress, _waiting(plan))) as before:
                if not undisturbed(seen[plan.next_key], before):
                    # Somebody else may have made it, or removed another. A look at an engine takes its time, so there
                    # is none without a reason.
                    seen, present = _look(cache)
                again = make_plan(cache.chain, present)
                if again.next_key == plan.next_key and builder.advance(again):
                    present |= {plan.next_key}
    except BaseException as failure:
        clean_up(builder.abandon, failure)
        raise
    for key in cache.chain.keys:
        if key in present and key not in builder.made:
            # Another instance may have built them, and may forget them.
            cache.backend.images.tag(cache.reference(key))
    return Populated(cache=cache, plan=plan, handle=builder.hand_over(plan.start), built=builder.built)


def _look(cache: Cache) -> tuple[dict[CacheKey, int], frozenset[CacheKey]]:
    """The turns of each key's lock, and then which stages are here: a turn after that is noticed."""
    return {key: turns(cache.backend.lock_file(key)) for key in cache.chain.keys}, cache.present()


def populate_only(cache: Cache, *, progress: Progress = silent) -> Cache:
    """``populate`` without keeping a server; reports ``Finished``, and returns the cache that is populated."""
    began = time.monotonic()
    populated = populate(cache, progress=progress)
    cache = populated.cache
    if populated.handle is not None:
        cache.backend.remove(populated.handle)
    progress(
        Finished(
            instance=cache.definition.instance,
            built=populated.built,
            reused=len(cache.chain.cacheable) - populated.built,
            replayed=0,
            seconds=time.monotonic() - began,
            booted=False,
        )
    )
    return cache


def apply(cache: Cache, stage: Stage, handle: Handle, *, progress: Progress, cached: bool) -> float:
    """Apply one seed to the running server; return when it began. Raises ``SeedFailed`` naming it."""
    progress(
        SeedStarted(
            name=stage.name,
            kind=stage.loaded.seed.kind,
            position=stage.position,
            total=len(cache.chain.stages),
            cached=cached,
        )
    )
    began = time.monotonic()
    serves = not stage.loaded.needs_build
    try:
        stage.loaded.apply(SeedTarget(handle, cache.definition))
    except (SeedFailed, ServerError) as error:
        # Its client may know of the server's death before we do.
        if serves and handle.ended(within=_DEATH_IS_KNOWN):
            raise _died(stage, handle) from error
        raise
    if serves and not handle.running:
        raise _died(stage, handle)
    return began


def clean_up(remove: Callable[[], None], failure: BaseException) -> None:
    """Remove what a failure leaves. If that fails as well, the failure says so, and stays what is raised."""
    try:
        remove()
    except PgEphemeralError as error:
        failure.add_note(f"then its server could not be removed: {error.message}")


def _died(stage: Stage, handle: Handle) -> ServerError:
    return ServerError(f"the server died while seed {stage.name!r} was applied", detail=handle.recent_log() or None)


class _Builder:
    """A server that is carried from stage to stage, so that a chain is built by one clone and one start a stage."""

    def __init__(self, cache: Cache, progress: Progress) -> None:
        self.built = 0
        self.made: set[CacheKey] = set()
        self._cache = cache
        self._progress = progress
        self._handle: Handle | None = None
        self._at: CacheKey | None = None

    def advance(self, plan: Plan) -> bool:
        """Make the plan's next stage, whose lock we hold; False when that has to be planned anew."""
        if plan.start is None:
            self._make_cluster()
            return True
        return self._make_stage(plan.start, plan.build[0])

    def hand_over(self, start: CacheKey | None) -> Handle | None:
        """The stopped server, if it stands at the end of the chain; else it is removed."""
        if self._handle is not None and self._at != start:
            self.abandon()
        return self._handle

    def abandon(self) -> None:
        """Remove the server."""
        handle, self._handle, self._at = self._handle, None, None
        if handle is not None:
            self._cache.backend.remove(handle)

    def _make_cluster(self) -> None:
        cache = self._cache
        self.abandon()
        self._progress(ClusterStarted(version=cache.identity.version))
        # Stage 0 is shared by definitions that differ in parameters and TLS, so it is made without either.
        spec = ServerSpec(
            superuser=cache.definition.superuser,
            database=cache.definition.database,
            parameters=parameters.effective({}, test_profile=True),
            timeout=max(cache.definition.wait_available_timeout, 10.0),
            for_stage=True,
            seeding=True,
        )
        self._handle = cache.backend.start(None, spec, serve=False)
        self._commit(cache.chain.cluster, None)

    def _make_stage(self, start: CacheKey, stage: Stage) -> bool:
        handle = self._standing_at(start, serve=not stage.loaded.needs_build)
        if handle is None or stage.key is None:
            return False
        began = apply(self._cache, stage, handle, progress=self._progress, cached=True)
        try:
            self._commit(stage.key, stage)
        except (CacheError, ClientError, ServerError) as error:
            if isinstance(error, ClientError) and handle.ended(within=_DEATH_IS_KNOWN):
                raise _died(stage, handle) from error
            error.message = f"seed {stage.name!r}: its stage cannot be kept: {error.message}"
            raise
        self.built += 1
        self._progress(SeedFinished(name=stage.name, cached=True, seconds=time.monotonic() - began))
        return True

    def _standing_at(self, start: CacheKey, *, serve: bool) -> Handle | None:
        """Our server, running if it is to ``serve``, at this stage; None when that vanished, so that we plan again."""
        backend, spec = self._cache.backend, self._cache.spec(for_stage=True)
        if self._handle is not None and self._at == start:
            with suppress(StageGone):
                backend.resume(self._handle, spec, serve=serve)
                return self._handle
        self.abandon()
        with suppress(StageGone):
            self._handle, self._at = backend.start(self._cache.reference(start), spec, serve=serve), start
        return self._handle

    def _commit(self, key: CacheKey, stage: Stage | None) -> None:
        assert self._handle is not None  # noqa: S101 -- both callers have just started it
        labels = self._cache.metadata(stage).to_labels()
        self._at = None
        self._cache.backend.commit(self._handle, self._cache.reference(key), labels)
        self._at = key
        self.made.add(key)


def _check_supported(cache: Cache) -> None:
    """Refuse before anything starts what would fail in the end. Raises ``BackendError`` and ``CacheError``."""
    for last in cache.chain.cacheable[-1:]:
        cache.metadata(last).to_labels()
    if cache.backend.builds:
        return
    for stage in cache.chain.stages:
        if stage.loaded.needs_build:
            raise BackendError(
                f"seed {stage.name!r} is a container-script, which the {cache.backend.name} backend cannot run",
                hint="the backends docker and podman can; a script seed runs on the host",
            )


def _waiting(plan: Plan) -> Waiting:
    return Waiting(name=plan.build[0].name if plan.start is not None else "the empty cluster")
