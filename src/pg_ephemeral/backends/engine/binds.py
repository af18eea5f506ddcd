"""Which directories of the host may be made visible inside a container."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pg_ephemeral.errors import BackendError

#: Top-level directories that people have their own in, so that only the whole would hide what the image has there.
_NEVER_ITSELF = frozenset(
    map(Path, ("/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/lib", "/var/run"))  # noqa: S108 -- refused
)
#: What the image, or the server, cannot do without, and everything below.
_NEVER_BELOW = frozenset(
    map(
        Path,
        (
            *("/bin", "/boot", "/dev", "/etc", "/proc", "/run", "/sbin", "/sys", "/usr"),
            *("/var/lib/pg-ephemeral", "/var/lib/postgresql", "/var/run/postgresql"),
        ),
    )
)
_LIBRARIES = re.compile(r"/lib(?:32|64|x32|exec)?(?:/|$)")
#: But for these, which are a user's on every system.
_OWN = frozenset(map(Path, ("/run/media", "/run/user", "/usr/home", "/usr/local/src", "/usr/src")))


def check(directory: Path) -> Path:
    """``directory``, absolute, if it may cover what an image has at the same path. Raises ``BackendError``."""
    # As the engines read it: dots are taken out of the text.
    absolute = Path(os.path.normpath(directory.absolute()))
    if _is_the_images(absolute):
        raise BackendError(
            f"directory {absolute} cannot be shared with a container: it would hide the image's own {absolute}",
            hint="run this in a directory of your own, or use the host context: pg-ephemeral host ...",
        )
    if any(c in str(absolute) for c in "\n\r\0"):
        raise BackendError(f"directory {str(absolute)!r} cannot be shared with a container: its name has a line break")
    return absolute


def _is_the_images(directory: Path) -> bool:
    path = frozenset((directory, *directory.parents))
    if directory in _NEVER_ITSELF or _LIBRARIES.match(str(directory)):
        return True
    return not path.isdisjoint(_NEVER_BELOW) and path.isdisjoint(_OWN)
