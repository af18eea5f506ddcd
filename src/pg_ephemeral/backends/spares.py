"""Spare clones: working copies of stages kept ready, so that a boot costs a rename and not a copy of a directory.

A spare is claimed by renaming it, which only one process can do. When a server is done with, its data directory is
made equal to its stage again (few files differ) and becomes a spare, which is cheaper than removing it, too.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.chain import CacheKey
from pg_ephemeral.paths import ensure_directory
from pg_ephemeral.postgres.datadir import Tree, remove

#: How many spares are kept for one stage and for all, and how many bytes all may take.
_PER_STAGE = 2
_IN_ALL = 6
_BYTES = 4 << 30


class Spares:
    """The spares below ``root``."""

    def __init__(self, root: Path, *, mode: int = 0o700) -> None:
        self._root = root
        self._mode = mode

    def claim(self, key: CacheKey, target: Path) -> bool:
        """Rename a spare of this stage to ``target``; False when there is none."""
        for spare in self._of(key):
            with suppress(OSError):  # somebody else was faster
                spare.rename(target)
                return True
        return False

    def keep(self, key: CacheKey, directory: Path, tree: Tree) -> bool:
        """Make ``directory``, which is equal to the stage, a spare; False when there are enough."""
        if tree.size > _BYTES // 2 or len(self._of(key)) >= _PER_STAGE:
            return False
        self._make_room(tree.size)
        home = ensure_directory(self._root / key, mode=self._mode)
        # The size leads the name, so that counting bytes needs no look inside.
        directory.rename(home / f"{tree.size}-{secrets.token_hex(6)}")
        return True

    def _of(self, key: CacheKey) -> list[Path]:
        try:
            return [Path(entry.path) for entry in os.scandir(self._root / key)]
        except OSError:
            return []

    def _make_room(self, size: int) -> None:
        """Remove the oldest spares until another of ``size`` bytes is within bounds."""
        spares = []
        for spare in self._root.glob("*/*"):
            with suppress(OSError, ValueError):
                spares.append((spare.parent.stat().st_mtime, int(spare.name.partition("-")[0]), spare))
        spares.sort()
        held = sum(bytes_ for _, bytes_, _ in spares)
        while spares and (len(spares) >= _IN_ALL or held + size > _BYTES):
            _, bytes_, spare = spares.pop(0)
            held -= bytes_
            remove(spare)
