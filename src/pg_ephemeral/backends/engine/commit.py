"""Make an image of a container whose server is stopped: a commit, or a flat image where layers run out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pg_ephemeral.backends.engine import commands, owner
from pg_ephemeral.backends.engine.client import MOVE_TIMEOUT, EngineClient
from pg_ephemeral.backends.engine.handle import EngineHandle
from pg_ephemeral.errors import CacheError
from pg_ephemeral.process import Completed

#: Storage drivers stack about 125 layers. A stage that would come near is made as a single one.
MOST_LAYERS = 110

_ABOUT_PAUSES = re.compile(r"pause|freez", re.IGNORECASE)


def commit_image(
    client: EngineClient, handle: EngineHandle, name: str, labels: Mapping[str, str], *, most: int = MOST_LAYERS
) -> None:
    """Keep the container's files under ``name``. Raises ``CacheError`` with the engine's words."""
    everything = {**owner.NOBODYS, **labels}
    base, quote = handle.base, client.dialect.quote
    change = commands.changes(everything, base, quote=quote)
    if handle.origin is not None and len(handle.origin.layers) >= most:
        done = _flatten(client, handle, name, (*commands.environment_changes(base, quote=quote), *change))
    else:
        # Nothing runs in it that could change a file, so it need not be paused; not every host can, and it takes time.
        for extra in (*client.dialect.unpaused, ()):
            done = client.try_call(commands.commit(handle.name, name, change, extra=extra), timeout=MOVE_TIMEOUT)
            if done.status == 0 or not _ABOUT_PAUSES.search(done.message):
                break
    if done.status != 0:
        raise CacheError(f"{client.dialect.program} cannot commit the stage: {done.message}")


def _flatten(client: EngineClient, handle: EngineHandle, name: str, change: tuple[str, ...]) -> Completed:
    archive = handle.run.path / "flat.tar"
    try:
        done = client.try_call(("export", "--output", str(archive), handle.name), timeout=MOVE_TIMEOUT)
        if done.status == 0:
            done = client.try_call(("import", *change, str(archive), name), timeout=MOVE_TIMEOUT)
    finally:
        archive.unlink(missing_ok=True)
    return done
