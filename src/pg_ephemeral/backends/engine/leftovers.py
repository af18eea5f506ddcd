"""Containers of processes of ours that are gone, found by their labels, whatever cache directory they were of.

A container is known by its run directory first, which costs no call. But that may be in another cache directory than
the one of now, or removed with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.backends.engine import owner
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.errors import BackendError, ProcessError
from pg_ephemeral.paths import ensure_directory

#: Within this many seconds one look is enough for all runs that share a cache directory.
_INTERVAL = 24 * 3600.0
_MARK = "looked"


def remove(client: EngineClient) -> Iterator[str]:
    """Remove them, and give the name of each. Raises ``BackendError`` and ``ProcessError``."""
    ours = f"label={owner.OWNER_LABEL}={owner.owner()}"
    names = client.call(("ps", "--all", "--no-trunc", "--filter", ours, "--format", "{{.Names}}")).decode().split()
    if not names:
        return
    # Whatever its status: one that has ended meanwhile is not described, and the others are.
    described = client.try_call(("container", "inspect", *names)).stdout
    for document in json.loads(described or b"[]"):
        name = str(document["Name"]).removeprefix("/")
        process = (document.get("Config") or {}).get("Labels", {}).get(owner.PROCESS_LABEL, "")
        if owner.is_gone(process) and client.remove_container(name):
            yield name


def remove_now_and_then(client: EngineClient, directory: Path) -> None:
    """The same, unless that was done a short while ago, which a file in ``directory`` tells. Never raises."""
    mark = directory / _MARK
    with suppress(BackendError, ProcessError, OSError, ValueError):
        if _is_recent(mark):
            return
        ensure_directory(directory)
        # First, so that of several that start at once one looks.
        mark.touch()
        for _ in remove(client):
            pass


def _is_recent(mark: Path) -> bool:
    try:
        return 0 <= time.time() - mark.stat().st_mtime < _INTERVAL
    except FileNotFoundError:
        return False
