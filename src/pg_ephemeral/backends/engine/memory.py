"""What a project's last boot found on an engine: a guess at what to look for, so that one look does for the next one.

A guess that is wrong costs a call. It is none of what anything is decided by.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.errors import CacheError
from pg_ephemeral.paths import ensure_directory

#: What nobody has asked for this long is forgotten, in seconds.
_KEPT = 30 * 86_400.0
#: More stages than this are not looked for together: a command line has an end.
_MOST = 200


class Memory:
    """The names of the stages of one ``project``, a text that tells it from others, in a file of ``directory``."""

    def __init__(self, directory: Path, project: str) -> None:
        self._directory = directory
        self._path = directory / hashlib.sha256(project.encode(errors="surrogatepass")).hexdigest()[:32]

    def recall(self) -> tuple[str, ...]:
        """What was there the last time; nothing if that is not known."""
        try:
            return tuple(self._path.read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):
            return ()

    def note(self, names: tuple[str, ...]) -> None:
        """Keep what is there now. Never raises: it is nobody's errand."""
        with suppress(OSError, CacheError):
            if names == self.recall() or len(names) > _MOST:
                return
            ensure_directory(self._directory)
            self._forget_old()
            beside = self._path.with_suffix(".new")
            beside.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
            beside.rename(self._path)

    def _forget_old(self) -> None:
        for path in self._directory.iterdir():
            if time.time() - path.stat().st_mtime > _KEPT:
                path.unlink(missing_ok=True)
