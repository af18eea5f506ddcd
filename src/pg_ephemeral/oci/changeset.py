"""What changed between two directories: the content of an image layer, before it is a tar. Reads, and writes nothing.

Image specification 1.1, "Image Layer Filesystem Changeset". Only directories and regular files are known: a link or a
device is refused, for what is packed here is data, and a link would lead somewhere else on another machine.
"""

from __future__ import annotations

import filecmp
import os
import stat
from pathlib import Path, PurePosixPath

from msgspec import Struct

from pg_ephemeral.errors import CacheError

__all__ = ["WHITEOUT", "Changeset", "difference"]

#: The prefix of the empty file that, in a layer, says that its namesake is gone.
WHITEOUT = ".wh."


class Changeset(Struct, frozen=True, kw_only=True):
    """Paths relative to the directory, in the order in which a layer holds them.

    ``directories`` are the new ones and all those above anything listed, for an engine that finds a layer without them
    makes up their owner and mode. Of what was removed only the topmost is listed.
    """

    directories: tuple[str, ...]
    removed: tuple[str, ...]
    files: tuple[str, ...]


def difference(after: Path, before: Path | None) -> Changeset:
    """What must be applied to ``before`` (None: to nothing) to get ``after``. Raises ``CacheError``.

    Two files are the same when they are one file with two names, or have the same bytes; times mean nothing here.
    """
    new = _list(after)
    old = {} if before is None else _list(before)
    files = [
        path for path, status in new.items() if not _is_directory(status) and not _same(path, new, old, before, after)
    ]
    removed = [path for path in old if path not in new and _above(path) in new | {"": None}]
    removed = [path for path in removed if _above(path) == "" or _is_directory(new[_above(path)])]
    directories = {path for path, status in new.items() if _is_directory(status) and not _had_directory(path, old)}
    for path in (*files, *removed, *directories.copy()):
        directories.update(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")
    return Changeset(
        directories=tuple(sorted(directories)),
        removed=tuple(sorted(removed)),
        # Files of one name lie side by side: PostgreSQL's databases begin as copies of each other, file by file.
        files=tuple(sorted(files, key=lambda path: (PurePosixPath(path).name, path))),
    )


def _list(root: Path) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    pending = [""]
    while pending:
        above = pending.pop()
        with os.scandir(root / above) as entries:
            for entry in entries:
                path = f"{above}/{entry.name}" if above else entry.name
                status = entry.stat(follow_symlinks=False)
                if entry.name.startswith(WHITEOUT):
                    raise CacheError(f"{root / path}: a name that begins with {WHITEOUT} cannot be part of an image")
                if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
                    raise CacheError(f"{root / path}: neither a file nor a directory, so it cannot be part of an image")
                found[path] = status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)
    return found


def _is_directory(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _had_directory(path: str, old: dict[str, os.stat_result]) -> bool:
    return path in old and _is_directory(old[path])


def _same(
    path: str, new: dict[str, os.stat_result], old: dict[str, os.stat_result], before: Path | None, after: Path
) -> bool:
    ours, theirs = new[path], old.get(path)
    if theirs is None or before is None or not stat.S_ISREG(theirs.st_mode) or ours.st_size != theirs.st_size:
        return False
    return os.path.samestat(ours, theirs) or filecmp.cmp(after / path, before / path, shallow=False)
