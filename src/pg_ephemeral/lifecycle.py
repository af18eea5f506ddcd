"""Boot a definition: populate the cache, start a server from the last stage, replay the rest, and clean up after."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from pg_ephemeral.backends.base import Backend, Handle, ServerSpec
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import Cache, Populated, apply, open_cache, populate
from pg_ephemeral.config import load
from pg_ephemeral.definition import DEFAULT_INSTANCE, Definition
from pg_ephemeral.errors import ServerError, StageGone
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
    progress: Progress = silent,
) -> Iterator[Server]:
    """A running, seeded server for the block; nothing of it is left afterwards, however the block ends.

    Without a ``definition`` it is ``instance`` of the file ``config``, or of the ``database.toml`` found in the working
    directory or above it, or PostgreSQL without seeds when there is none. ``backend`` overrides the definition's.
    ``directories`` can be seen, at the same path, by programs that run in the server's container.
    Raises the errors of ``pg_ephemeral.errors``.
    """
    chosen = definition if definition is not None else load(config).definition(instance)
    began = time.monotonic()
    cache = open_cache(chosen, backend if backend is not None else select(chosen))
    spec = cache.spec(directories=tuple(directories))
    handle, populated = _start(cache, spec, progress)
    cache = populated.cache
    try:
        for stage in populated.plan.replay:
            applied = apply(cache, stage, handle, progress=progress, cached=False)
            if stage.loaded.needs_build:
                cache.backend.resume(handle, spec)
            progress(SeedFinished(name=stage.name, cached=False, seconds=time.monotonic() - applied))
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
            server.close()
    finally:
        cache.backend.remove(handle)


@asynccontextmanager
async def aboot(
    definition: Definition | None = None,
    *,
    config: str | Path | None = None,
    instance: str = DEFAULT_INSTANCE,
    backend: Backend | None = None,
    directories: Sequence[Path] = (),
    progress: Progress = silent,
) -> AsyncIterator[Server]:
    """``boot`` for asynchronous callers: the work is done in a thread, and cancellation leaves nothing behind."""
    import asyncio  # only its users pay for it

    manager = boot(
        definition, config=config, instance=instance, backend=backend, directories=directories, progress=progress
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
        await asyncio.shield(asyncio.to_thread(manager.__exit__, None, None, None))


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
        except BaseException:
            cache.backend.remove(populated.handle)
            raise
        return populated.handle, populated
    raise ServerError(
        "the stage to start from was removed again and again",
        hint="is another process running cache reset?",
    )
