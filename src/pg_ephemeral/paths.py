"""Where our files live: the user's cache and runtime directories (XDG base directory specification).

Only this module knows directory conventions. ``PG_EPHEMERAL_CACHE_DIR`` overrides the cache directory, which is the
one that grows.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from pg_ephemeral.errors import CacheError

APPLICATION = "pg-ephemeral"
CACHE_VARIABLE = "PG_EPHEMERAL_CACHE_DIR"

#: Stands for a user who owns nothing.
_SOMEBODY = -1

#: Where root keeps its cache when its servers must run as another user, who cannot look into root's home.
SYSTEM_CACHE = Path("/var/cache") / APPLICATION


def cache_dir() -> Path:
    """The directory stages are kept under; it need not exist yet."""
    override = cache_override()
    if override is not None:
        return override
    import platformdirs

    return Path(platformdirs.user_cache_dir(APPLICATION, appauthor=False))


def cache_override() -> Path | None:
    """The directory that the user named to keep stages under, if any."""
    override = os.environ.get(CACHE_VARIABLE)
    return Path(override).absolute() if override else None


def ensure_directory(path: Path, *, mode: int = 0o700) -> Path:
    """Make ``path`` and its parents; return it. Raises ``CacheError`` naming the directory that cannot be made."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path, error) from error
    return path


def unusable(path: Path, error: OSError) -> CacheError:
    """The error for a path under the cache directory that the system refuses: one line, one hint."""
    reason = error.strerror or str(error)
    return CacheError(
        f"cannot use {error.filename or path}: {reason}",
        hint=f"set {CACHE_VARIABLE} to a directory you can write, with enough room",
    )


def socket_parent(*, ours_alone: bool = True) -> Path:
    """A directory with a short name for unix sockets, whose paths must stay below about 100 bytes (unix(7)).

    Unless it may be ``ours_alone``, as the runtime directory is, other users can pass through it. Root may have the
    variables of another user, whose directories its servers are then barred from.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR") if ours_alone else None
    if runtime and len(runtime) < 50 and _is_ours(Path(runtime)):
        return Path(runtime)
    temporary = Path(tempfile.gettempdir())
    root = os.geteuid() == 0
    closed = root and barrier(temporary, uid=0 if ours_alone else _SOMEBODY, gid=0 if ours_alone else _SOMEBODY)
    if closed or len(str(temporary)) >= 50:
        return Path("/tmp")  # noqa: S108 -- what is made below it is private
    return temporary


def _is_ours(directory: Path) -> bool:
    return os.access(directory, os.W_OK) and directory.stat().st_uid == os.geteuid()


def barrier(path: Path, *, uid: int, gid: int) -> Path | None:
    """The first directory on the way into ``path`` that this user, without root's rights, may not pass through.

    By owner, group and mode; what does not exist is no barrier, for we make it. None if the way is free.
    """
    for directory in dict.fromkeys(way for end in (path.absolute(), path.resolve()) for way in (*end.parents, end)):
        try:
            status = directory.stat()
        except OSError:
            continue
        bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return directory
    return None
