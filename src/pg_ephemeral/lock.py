"""An exclusive lock between processes: flock(2) on a file that is never deleted.

The kernel releases it when its holder ends, however it ends, so there is no stale lock to clean up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pg_ephemeral.paths import ensure_directory, unusable


@contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock ``path`` for the block; yields its ``turns`` before ours.

    ``waiting`` is called once, when the lock is taken and we begin to wait, which we do for as long as its holder
    lives: an interrupt ends the wait. Raises ``CacheError`` when the file cannot be made.
    """
    ensure_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        _acquire(descriptor, waiting)
        before = os.fstat(descriptor).st_size
        ours = (before + 1) | 1
        _count(descriptor, ours)
        try:
            yield before
        finally:
            _count(descriptor, ours + 1)
    finally:
        os.close(descriptor)


def turns(path: Path) -> int:
    """A number that grows with each turn of a holder: odd while one holds the lock, or when one was killed with it.

    It is the size of the file, which has no content and takes no space.
    """
    try:
        return path.stat().st_size
    except OSError:
        return 0


def undisturbed(seen: int, before: int) -> bool:
    """Whether nobody had the lock between when its ``turns`` were ``seen`` and our turn, with ``before`` before it."""
    return seen == before and seen % 2 == 0


def try_lock(descriptor: int) -> bool:
    """Take the lock on an open file without waiting; False when somebody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _count(descriptor: int, turns: int) -> None:
    # A number that cannot be written costs those who come after us some work that is done already, and nothing else.
    with suppress(OSError):
        os.ftruncate(descriptor, turns)


def _acquire(descriptor: int, waiting: Callable[[], None] | None) -> None:
    if try_lock(descriptor):
        return
    if waiting is not None:
        waiting()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
