"""Private directories of running embedded servers, and the sweep of what killed processes left.

Each is locked by its owner for as long as the owner lives, so a directory whose lock can be had belongs to nobody: its
server, should one still run, is stopped and the directory removed. The keeper normally does that first.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.errors import ProcessError
from pg_ephemeral.lock import try_lock
from pg_ephemeral.paths import ensure_directory, unusable
from pg_ephemeral.postgres.datadir import remove
from pg_ephemeral.postgres.server_settings import SOCKETS_NOTE, SOCKETS_PREFIX
from pg_ephemeral.process import Invocation, capture

_NEW = ".new-"
_LOCK = "lock"
#: A directory this long, in seconds, without a lock belongs to a process that was killed while making or removing it.
_ABANDONED = 60.0
_GONE_WITHIN = 10.0


class Run:
    """One locked directory; a context for the life of a server. ``close`` lets go of it and removes it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    def close(self) -> None:
        """Remove the directory and release its lock; does nothing the second time."""
        self.end(done=True)

    def end(self, *, done: bool) -> None:
        """The same, if what went on on behalf of the directory is ``done`` with; else leave that to a later sweep."""
        if self._lock is not None:
            if done:
                _remove(self.path)
            os.close(self._lock)
            self._lock = None


def new_run(parent: Path, *, mode: int = 0o700) -> Run:
    """Make and lock a directory, ours alone, below ``parent``, which has this mode. Raises ``CacheError``."""
    name = secrets.token_hex(6)
    beside, path = parent / f"{_NEW}{name}", parent / name
    ensure_directory(parent, mode=mode)
    try:
        beside.mkdir(mode=0o700)
        lock = os.open(beside / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try_lock(lock)
        # Only under its final name does a sweep look at it, and there it has never been without its lock.
        beside.rename(path)
    except OSError as error:
        remove(beside)
        raise unusable(parent, error) from error
    return Run(path, lock)


def sweep(parent: Path, *, first: Callable[[Path], bool] | None = None) -> list[Path]:
    """Remove what dead owners left below ``parent``, and return it. Never raises: it is nobody's errand.

    ``first`` ends what goes on on behalf of a directory, and says whether it could; unless given, that is a server with
    its data in it. What could not be ended keeps its directory, and is tried again the next time.
    """
    removed: list[Path] = []
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return removed
    for entry in entries:
        with suppress(OSError, ProcessError):
            path = Path(entry.path)
            if entry.name.startswith(_NEW) or not (path / _LOCK).exists():
                # Somebody is just making or removing it, or was killed at that.
                abandoned = time.time() - entry.stat().st_mtime > _ABANDONED
            else:
                abandoned = _ownerless(path)
            if abandoned and (first or _stop_server)(path):
                _remove(path)
                removed.append(path)
    return removed


def _ownerless(path: Path) -> bool:
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # its owner, or another sweep, is removing it right now
    try:
        return try_lock(lock)
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    """Remove a run, its lock last: whoever is killed at it leaves a directory that the next sweep knows for one."""
    with suppress(OSError):
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                remove(Path(entry.path))
            elif entry.name != _LOCK:
                Path(entry.path).unlink()
    remove(path)


def _stop_server(path: Path) -> bool:
    """Stop a server that outlived owner and keeper both, and remove its sockets."""
    _remove_sockets(path)
    data = path / "data"
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return True
    if not _serves(pid, data):
        return True
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGQUIT)
    deadline = time.monotonic() + _GONE_WITHIN
    while _serves(pid, data) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


def _remove_sockets(path: Path) -> None:
    with suppress(OSError):
        sockets = Path((path / SOCKETS_NOTE).read_text())
        if sockets.name.startswith(SOCKETS_PREFIX):
            remove(sockets)


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is the server of this data directory, and not a later one with its number."""
    command = Path(f"/proc/{pid}/cmdline")
    if command.parent.parent.joinpath("self").exists():
        try:
            return str(data).encode() in command.read_bytes().split(b"\0")
        except OSError:
            return False
    done = capture(Invocation(argv=("ps", "-o", "command=", "-p", str(pid))))
    return done.status == 0 and str(data).encode() in done.stdout
