"""The part of a server's log that is of one test. Reads a file; knows nothing of pytest."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_BYTES = 256 * 1024
_MOST_LINES = 40

#: A line that begins with ``shared_server.facts.LOG_PREFIX``: time, zone, process, and the database, if any. What does
#: not begin so goes on with the line before.
_PREFIXED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] (?P<database>\S*) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """A log from byte ``start`` on."""

    path: Path
    start: int

    @classmethod
    def from_here(cls, path: Path) -> LogPart:
        """What will be logged from now on."""
        try:
            return cls(path=path, start=path.stat().st_size)
        except OSError:
            return cls(path=path, start=0)

    def text(self) -> str:
        """What has been logged since, cut to the end if it is much; empty when the log is gone."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self.start, size - _MOST_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""


def lines_of(text: str, databases: Container[str] | None) -> list[str]:
    """The last lines of ``text`` that are about these databases; None: about whatever they are."""
    chosen = text.splitlines() if databases is None else list(_about(text, databases))
    if len(chosen) <= _MOST_LINES:
        return chosen
    return [f"... {len(chosen) - _MOST_LINES} lines before", *chosen[-_MOST_LINES:]]


def _about(text: str, databases: Container[str]) -> Iterator[str]:
    wanted = False
    for line in text.splitlines():
        prefixed = _PREFIXED.match(line)
        if prefixed is not None:
            wanted = prefixed["database"] in databases
        if wanted:
            yield line
