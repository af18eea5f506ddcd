"""An exclusive lock between processes: flock(2) on a file that is never deleted.

The kernel releases it when its holder ends, however it ends, so there is no stale lock to clean up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pg_ephemeral.paths import ensure_directory, unusable


@contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock ``path`` for the block; yields True when somebody else held it first.

    ``waiting`` is called once, when the lock is taken and we begin to wait, which we do for as long as its holder
    lives: an interrupt ends the wait. Raises ``CacheError`` when the file cannot be made.
    """
    ensure_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        yield _acquire(descriptor, waiting)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock on an open file without waiting; False when somebody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _acquire(descriptor: int, waiting: Callable[[], None] | None) -> bool:
    if try_lock(descriptor):
        return False
    if waiting is not None:
        waiting()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True
