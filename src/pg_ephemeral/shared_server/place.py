"""Where a holder is met: a directory with a name that all processes of one run compute, and its lock and socket.

The directory exists under its name only with its socket listening and its lock held, and the lock is held as long as
the holder lives: a directory whose lock can be had belongs to a holder that was killed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import ServerError
from pg_ephemeral.lock import exclusive, try_lock
from pg_ephemeral.paths import cache_dir, socket_parent, unusable

_PREFIX = "pg-ephemeral-shared-"
_NEW = "pg-ephemeral-new-shared-"
_LOCK = "lock"
_SOCKET = "s"
ERRORS = "stderr"
_BACKLOG = 512
#: A directory this long, in seconds, under its first name belongs to a process that was killed while making it.
_ABANDONED = 60.0
#: For the kernel to close what a killed holder has open, and how often that is looked at, in seconds.
_DYING = 1.0
_POLL = 0.005


def directory_of(run: str, definition: Definition) -> Path:
    """Where the holder for this definition is in the run with this unique name."""
    text = f"{os.geteuid()}\0{run}\0{definition!r}"
    return socket_parent() / f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:20]}"


@contextmanager
def coming_and_going() -> Iterator[None]:
    """Of the processes that look for a holder, start one, or end as one, one at a time. Raises ``CacheError``."""
    with exclusive(cache_dir() / "locks" / "shared-server"):
        yield


def connect(directory: Path) -> socket.socket | None:
    """A connection to the holder there; None when there is none. Raises ``ServerError`` for a stranger's directory."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ServerError(
            f"{directory} is not a directory of ours alone, so no server is looked for in it",
            hint="remove it, or set XDG_RUNTIME_DIR to a directory of your own",
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(directory / _SOCKET))
    except OSError:
        connection.close()
        return None
    return connection


def sweep() -> None:
    """Remove what holders left that were killed; never raises."""
    for path in socket_parent().glob("pg-ephemeral-*shared-*"):
        with suppress(OSError):
            found = path.lstat()
            # One that is being made may not have its lock yet.
            fresh = path.name.startswith(_NEW) and time.time() - found.st_mtime < _ABANDONED
            if found.st_uid == os.geteuid() and not fresh and abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def abandoned(directory: Path) -> bool:
    """Whether this is what a holder left that was killed: its lock can be had. False when it is not there."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)


def await_end(directory: Path) -> None:
    """Wait a moment until a holder whose connections have ended is seen to be gone, if that is what it is.

    The kernel closes what a killed process has open one after the other, its lock maybe last.
    """
    end = time.monotonic() + _DYING
    while directory.exists() and not abandoned(directory) and time.monotonic() < end:
        time.sleep(_POLL)


class Place:
    """The holder's own side: the directory, the lock and the listening socket. Raises ``CacheError``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.open = False
        beside = Path(tempfile.mkdtemp(prefix=_NEW, dir=directory.parent))
        try:
            self._lock = os.open(beside / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try_lock(self._lock)
            (beside / ERRORS).touch(mode=0o600)
            self.listener.bind(str(beside / _SOCKET))
            self.listener.listen(_BACKLOG)
            # A connection is to the socket, whatever the directory is called.
            beside.rename(directory)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise unusable(directory, error) from error
        self.open = True

    def close(self) -> None:
        """Stop listening and remove the directory; does nothing the second time."""
        if not self.open:
            return
        self.open = False
        self.listener.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)
