"""Which directories of the host may be made visible inside a container."""

from __future__ import annotations

import os
from pathlib import Path

from pg_ephemeral.errors import BackendError

#: Top-level directories of the image that it, or the server, cannot do without; whatever is below some of them, too.
_NEVER = frozenset(
    map(Path, ("/", "/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"))
)
_NEVER_ITSELF = frozenset(
    map(Path, ("/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/lib", "/var/run"))  # noqa: S108 -- refused
)
_NEVER_BELOW = frozenset(
    map(Path, ("/dev", "/etc", "/proc", "/sys", "/var/lib/pg-ephemeral", "/var/lib/postgresql", "/var/run/postgresql"))
)


def check(directory: Path) -> Path:
    """``directory``, absolute, if it may cover what an image has at the same path. Raises ``BackendError``."""
    # As the engines read it: dots are taken out of the text.
    absolute = Path(os.path.normpath(directory.absolute()))
    shadowed = absolute in _NEVER or absolute in _NEVER_ITSELF
    if shadowed or any(above in _NEVER_BELOW for above in (absolute, *absolute.parents)):
        raise BackendError(
            f"directory {absolute} cannot be shared with a container: it would hide the image's own {absolute}",
            hint="run this in a directory of your own, or use the host context: pg-ephemeral host ...",
        )
    if any(c in str(absolute) for c in "\n\r\0"):
        raise BackendError(f"directory {str(absolute)!r} cannot be shared with a container: its name has a line break")
    return absolute
