"""Boot a definition: populate the cache, start a server from the last stage, replay the rest, and clean up after."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from pg_ephemeral.backends.base import Backend, Handle, ServerSpec
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import Cache, open_cache
from pg_ephemeral.chain import Stage
from pg_ephemeral.config import load
from pg_ephemeral.definition import DEFAULT_INSTANCE, Definition
from pg_ephemeral.errors import ClientError, ServerError, StageGone
from pg_ephemeral.populate import Populated, apply, clean_up, populate
from pg_ephemeral.progress import Finished, Progress, SeedFinished, silent
from pg_ephemeral.server import Server

_ATTEMPTS = 5


@contextmanager
def boot(
    definition: Definition | None = None,
    *,
    config: str | Path | None = None,
    instance: str = DEFAULT_INSTANCE,
    backend: Backend | None = None,
    directories: Sequence[Path] = (),
    own_network: bool = False,
    progress: Progress = silent,
) -> Iterator[Server]:
    """A running, seeded server for the block; nothing of it is left afterwards, however the block ends.

    It belongs to the process that booted it: one that was forked in the block may use it, and ends nothing.

    Without a ``definition`` it is ``instance`` of the file ``config``, or of the ``database.toml`` found in the working
    directory or above it, or PostgreSQL without seeds when there is none. ``backend`` overrides the definition's.
    ``directories`` can be seen, at the same path, by programs that run in the server's container, which has a network
    of its own then, or with ``own_network``; else it may have this host's, with the server on loopback.
    Raises the errors of ``pg_ephemeral.errors``.
    """
    chosen = definition if definition is not None else load(config).definition(instance)
    began, owner = time.monotonic(), os.getpid()
    cache = open_cache(chosen, backend if backend is not None else select(chosen))
    spec = cache.spec(directories=tuple(directories), own_network=own_network)
    handle, populated = _start(cache, spec, progress)
    cache = populated.cache
    with _removed_afterwards(cache.backend, handle):
        _replay(cache, populated.plan.replay, handle, spec, progress)
        replayed = len(populated.plan.replay)
        progress(
            Finished(
                instance=chosen.instance,
                built=populated.built,
                reused=len(cache.chain.stages) - populated.built - replayed,
                replayed=replayed,
                seconds=time.monotonic() - began,
                booted=True,
            )
        )
        server = Server(handle, chosen)
        try:
            yield server
        finally:
            if os.getpid() == owner:
                server.close()


@asynccontextmanager
async def aboot(
    definition: Definition | None = None,
    *,
    config: str | Path | None = None,
    instance: str = DEFAULT_INSTANCE,
    backend: Backend | None = None,
    directories: Sequence[Path] = (),
    own_network: bool = False,
    progress: Progress = silent,
) -> AsyncIterator[Server]:
    """``boot`` for asynchronous callers: the work is done in a thread, and cancellation leaves nothing behind."""
    import asyncio  # only its users pay for it

    owner = os.getpid()
    manager = boot(
        definition,
        config=config,
        instance=instance,
        backend=backend,
        directories=directories,
        own_network=own_network,
        progress=progress,
    )
    entering = asyncio.ensure_future(asyncio.to_thread(manager.__enter__))
    try:
        server = await asyncio.shield(entering)
    except asyncio.CancelledError:
        # A thread cannot be cancelled: let it finish, then undo what it did.
        await asyncio.wait([entering])
        if not entering.cancelled() and entering.exception() is None:
            await asyncio.to_thread(manager.__exit__, None, None, None)
        raise
    try:
        yield server
    finally:
        if os.getpid() == owner:  # else there are no threads, either
            await asyncio.shield(asyncio.to_thread(manager.__exit__, None, None, None))


@contextmanager
def _removed_afterwards(backend: Backend, handle: Handle) -> Iterator[None]:
    """Remove the server after the block, in the process that began it. The block's own failure is what is raised."""
    owner = os.getpid()
    try:
        yield
    except BaseException as failure:
        if os.getpid() == owner:
            clean_up(partial(backend.remove, handle), failure)
        raise
    if os.getpid() == owner:
        backend.remove(handle)


def _replay(cache: Cache, stages: Sequence[Stage], handle: Handle, spec: ServerSpec, progress: Progress) -> None:
    """Apply what cannot be cached; after the last of it the server is the caller's."""
    for left, stage in enumerate(stages, start=1 - len(stages)):
        began = apply(cache, stage, handle, progress=progress, cached=False)
        if stage.loaded.needs_build:
            cache.backend.resume(handle, spec)
        try:
            handle.admit(seeding=left < 0)
        except ClientError as error:
            error.message = f"seed {stage.name!r}: the superuser is not let in after it: {error.message}"
            raise
        progress(SeedFinished(name=stage.name, cached=False, seconds=time.monotonic() - began))


def _start(cache: Cache, spec: ServerSpec, progress: Progress) -> tuple[Handle, Populated]:
    """The server at the end of the cacheable chain, running."""
    for _ in range(_ATTEMPTS):
        populated = populate(cache, progress=progress)
        cache = populated.cache
        assert populated.plan.start is not None  # noqa: S101 -- a populated chain has at least stage 0
        if populated.handle is None:
            try:
                return cache.backend.start(cache.reference(populated.plan.start), spec), populated
            except StageGone:
                continue  # a reset came between our look and our use
        try:
            cache.backend.resume(populated.handle, spec)
        except StageGone:
            cache.backend.remove(populated.handle)
            continue
        except BaseException as failure:
            clean_up(partial(cache.backend.remove, populated.handle), failure)
            raise
        return populated.handle, populated
    raise ServerError(
        "the stage to start from was removed again and again",
        hint="is another process running cache reset?",
    )
