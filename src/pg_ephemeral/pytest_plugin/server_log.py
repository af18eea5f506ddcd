"""The part of a server's log that is of one test. Reads a file, and has a server write to it; nothing of pytest."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo

_MOST_BYTES = 256 * 1024
_MOST_LINES = 40

#: A line that begins with ``shared_server.facts.LOG_PREFIX``: time, zone, process, and the database, if any. What does
#: not begin so goes on with the line before.
_PREFIXED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] (?P<database>\S*) ")


#: How long a container's log may take to reach us, and how often we look, in seconds.
_LATE = 2.0
_AGAIN = 0.01

#: Logs a line at once, whatever the server is told to log, and nothing with it.
_MARK = """
    SET log_min_messages = log;
    SET log_min_error_statement = panic;
    SET log_error_verbosity = terse;
    DO $$ BEGIN RAISE LOG '{mark}'; END $$
"""
_MARKED = "pg-ephemeral mark "


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

    def await_latest(self, control: Conninfo) -> None:
        """Wait until what the server has logged by now is there, or for as long as can be expected of anybody."""
        mark = f"{_MARKED}{secrets.token_hex(8)}"
        try:
            with client.connect(control) as connection:
                connection.execute(_MARK.format(mark=mark))
        except ClientError:
            return  # it is gone, or will not say anything
        deadline = time.monotonic() + _LATE
        while mark not in self.text() and time.monotonic() < deadline:
            time.sleep(_AGAIN)


def lines_of(text: str, databases: Container[str] | None) -> list[str]:
    """The last lines of ``text`` that are about these databases; None: about whatever they are."""
    if databases is None:
        chosen = [line for line in text.splitlines() if _MARKED not in line]
    else:
        chosen = list(_about(text, databases))
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
