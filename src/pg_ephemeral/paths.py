"""Where our files live: the user's cache and runtime directories (XDG base directory specification).

Only this module knows directory conventions. ``PG_EPHEMERAL_CACHE_DIR`` overrides the cache directory, which is the
one that grows.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pg_ephemeral.errors import CacheError

APPLICATION = "pg-ephemeral"
CACHE_VARIABLE = "PG_EPHEMERAL_CACHE_DIR"

#: Where root keeps its cache when its servers must run as another user, who cannot look into root's home.
SYSTEM_CACHE = Path("/var/cache") / APPLICATION


def cache_dir() -> Path:
    """The directory stages are kept under; it need not exist yet."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir(APPLICATION, appauthor=False))


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

    Unless it may be ``ours_alone``, as the runtime directory is, other users can pass through it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR") if ours_alone else None
    if runtime and len(runtime) < 50 and os.access(runtime, os.W_OK):
        return Path(runtime)
    temporary = Path(tempfile.gettempdir())
    return temporary if len(str(temporary)) < 50 else Path("/tmp")  # noqa: S108 -- mkdtemp below it makes it private
