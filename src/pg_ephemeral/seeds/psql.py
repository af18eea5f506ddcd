"""Running psql(1) on a stream of SQL, and making sense of what it says when it stops.

``psql -X -v ON_ERROR_STOP=1`` is how a person would apply a file, so meta-commands, inline COPY data, ``\\c`` and
statements that refuse a transaction block all mean what they mean there.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from msgspec import Struct, field

from pg_ephemeral.process import Invocation, guarded
from pg_ephemeral.seeds.base import Target

_OPTIONS = ("-X", "-q", "-b", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", "-")

_MESSAGE = re.compile(r"psql:<stdin>:(?P<line>\d+): (?:(?P<severity>[A-Za-z]+): +)?(?P<text>.*)")
_STATEMENT = "STATEMENT"
_OWN = re.compile(r"psql: (?:error: )?(?P<text>.*)")
_LINE = re.compile(r"LINE (\d+): ")
_COPY = re.compile(r"CONTEXT: +COPY .*?, line (\d+)")
_COPY_STATEMENT = re.compile(r"COPY\b.*\bFROM\s+STDIN\b", re.IGNORECASE | re.DOTALL)

#: A text of at most so many bytes is read before it is given to psql.
_SHORT = 64 * 1024

#: What is no failure, in psql's own words and in the server's.
_REMARKS = frozenset({"NOTICE", "WARNING", "INFO", "LOG", "DEBUG", "warning", "info"})

#: What is kept of a statement, or of a message, in lines: enough to recognise it by.
_KEPT_LINES = 12
_KEPT_WIDTH = 300

_log = logging.getLogger(__name__)


class Message(Struct, kw_only=True):
    """One message of psql or of the server. ``line`` is that at which the statement ended, in the stream."""

    line: int | None
    severity: str
    text: str
    more: list[str] = field(default_factory=list)
    statement: list[str] = field(default_factory=list)
    statement_lines: int = 0

    @property
    def first_line(self) -> int | None:
        """The line at which the statement began."""
        if self.line is None:
            return None
        return self.line - max(self.statement_lines, 1) + 1

    @property
    def error_line(self) -> int | None:
        """The line the server points at, if it points at one, else the statement's first."""
        pointed = next((found for text in self.more if (found := _LINE.match(text))), None)
        if self.first_line is None or pointed is None:
            return self.first_line
        return self.first_line + int(pointed[1]) - 1

    @property
    def is_copy(self) -> bool:
        """Whether it is about a COPY from inline data."""
        return _COPY_STATEMENT.match("\n".join(self.statement)) is not None

    @property
    def copy_line(self) -> int | None:
        """Of an error in inline data: the line, counted from 1 in that data."""
        found = next((found for text in self.more if (found := _COPY.match(text))), None)
        return int(found[1]) if found else None

    @property
    def summary(self) -> str:
        """Severity and text."""
        return f"{self.severity}: {self.text}" if self.severity else self.text

    @property
    def hint(self) -> str | None:
        """What to do about it, where we know better than the server."""
        if self.text == r"invalid command \restrict":
            return "this psql is older than the pg_dump that wrote the file: boot a newer PostgreSQL"
        return None

    @property
    def detail(self) -> str | None:
        """The rest of the message, and the statement, cut to a size for people."""
        lines = list(self.more)
        if self.statement:
            lines += ["STATEMENT:", *(f"  {line}" for line in self.statement)]
            if self.statement_lines > len(self.statement):
                lines.append(f"  … ({self.statement_lines} lines)")
        return "\n".join(lines) or None


class Listener:
    """Takes psql's stderr line by line and keeps the message that ``failure`` is; all of them go to the log."""

    def __init__(self) -> None:
        #: The message psql stopped at, if it stopped at one.
        self.failure: Message | None = None
        self._last: Message | None = None
        self._statement_line = 0

    def hear(self, raw: bytes) -> None:
        """One line."""
        text = raw.decode(errors="replace").rstrip("\r\n")
        begun = _MESSAGE.fullmatch(text)
        own = None if begun else _OWN.fullmatch(text)
        if begun and begun["severity"] == _STATEMENT and self._last is not None:
            self._statement(self._last, begun["text"])
        elif begun:
            self._begin(Message(line=int(begun["line"]), severity=begun["severity"] or "", text=begun["text"]))
        elif own:
            self._begin(Message(line=None, severity="psql", text=own["text"]))
        elif self._last is None:
            self._begin(Message(line=None, severity="", text=text))
        elif self._statement_line:
            self._statement(self._last, text)
        elif len(self._last.more) < _KEPT_LINES:
            self._last.more.append(text[:_KEPT_WIDTH])

    def _begin(self, message: Message) -> None:
        self._last, self._statement_line = message, 0
        _log.debug("%s", message.summary)
        # Several at one line are one failure and what came of it: a lost connection is told three times.
        again = self.failure is not None and self.failure.line == message.line
        if message.severity not in _REMARKS and not again:
            self.failure = message

    def _statement(self, message: Message, text: str) -> None:
        """One more line of the statement; psql ends it with an empty one, which does not count."""
        self._statement_line += 1
        if not text.strip():
            return
        message.statement_lines = self._statement_line
        if self._statement_line <= _KEPT_LINES:
            message.statement += [""] * (self._statement_line - len(message.statement) - 1)
            message.statement.append(text[:_KEPT_WIDTH])


def run(target: Target, lines: Iterable[bytes], *, timeout: float | None = None) -> tuple[int, Message | None]:
    """Feed ``lines`` to psql; return its status and the message it stopped at.

    Status 0 means that all went well. Exceptions of ``lines`` end psql and go through. Raises ``Overdue`` when it has
    not ended after ``timeout`` seconds, and ``ServerError`` when it is gone with the server.
    """
    listener = Listener()
    text, lines = _begun(iter(lines))
    if text is not None:
        status = target.feed("psql", *_OPTIONS, text=text, line=listener.hear, timeout=timeout)
        if status is not None:
            return status, listener.failure
    psql = target.tool("psql")
    # Its messages are read by us, so they must be plain and in one language; text of the database is UTF-8 whatever the
    # locale.
    inherited = os.environ if psql.env is None else psql.env
    environment = {**inherited, "LC_ALL": "C", "PG_COLOR": "never", "PGCLIENTENCODING": "UTF8"}
    invocation = Invocation(argv=(*psql.argv, *_OPTIONS), env=environment, cwd=psql.cwd)
    return guarded(invocation, stdin=lines, line=listener.hear, timeout=timeout), listener.failure


def _begun(lines: Iterator[bytes]) -> tuple[bytes | None, Iterable[bytes]]:
    """The whole text, if it is short, and what is to be read of it."""
    text = bytearray()
    for piece in lines:
        text += piece
        if len(text) > _SHORT:
            return None, chain([bytes(text)], lines)
    return bytes(text), [bytes(text)]
