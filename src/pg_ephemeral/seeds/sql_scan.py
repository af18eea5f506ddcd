"""The part of psql's lexer that tells meta-commands from SQL and from inline COPY data, line by line. Pure.

A backslash begins a command only outside of strings, quoted identifiers, dollar quotes and comments, all of which span
lines; and what follows ``COPY … FROM STDIN`` is data up to a line ``\\.`` (PostgreSQL manual, psql and 4.1).
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from msgspec import Struct

from pg_ephemeral.seeds.psql_arguments import STDIN, copy_source, end_of_arguments, file_name, first_argument

_NAME = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*"

#: Outside of everything: what changes the state, or is a word; then whatever else is not white space.
_TOKEN: Final = re.compile(
    rb"--[^\n]*|/\*|[eE]'|['\"]|\$(?:" + _NAME + rb")?\$|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*"
    rb"|\\[;:]|\\[^\s\\]*|[();]|[^\s'\"$A-Za-z_\x80-\xff\\();/-]+|[^\s]"
)

#: Most lines of a long text need no tokens: whole strings, balanced parentheses, a semicolon at most at the end.
_NOT_SIMPLE: Final = re.compile(rb"[\\$]|--|/\*")
_STRING: Final = re.compile(rb"'[^']*'|\"[^\"]*\"")
#: Only single characters repeat possessively: for groups, Python before 3.11.4 gets it wrong.
_BALANCED: Final = re.compile(
    rb"\s*+(?P<first>[^\s();'\"]*+)#(?:\(#(?:\(#\)#)*\)#)*(?P<end>;?)\s*+".replace(b"#", rb"[^();'\"]*+")
)

_COMMENT_EDGE: Final = re.compile(rb"/\*|\*/")
_ESCAPE_STRING_REST: Final = re.compile(rb"[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)

_INCLUDES: Final = {b"\\i": False, b"\\include": False, b"\\ir": True, b"\\include_relative": True}
_WHOLE_LINE: Final = frozenset({b"\\!", b"\\copy", b"\\ef", b"\\ev", b"\\h", b"\\help", b"\\sf", b"\\sv"})
#: Commands after which nothing is left of a statement that was begun: it was sent, or dropped.
_ENDING: Final = frozenset(
    {b"\\g", b"\\gx", b"\\gset", b"\\gexec", b"\\gdesc", b"\\crosstabview", b"\\watch", b"\\r", b"\\reset", b"\\parse"}
    | {b"\\sendpipeline"}
)


class Include(Struct, frozen=True, kw_only=True):
    """``\\i`` or, if ``relative``, ``\\ir``: bytes ``start`` to ``end`` of its line.

    ``file`` is None if only psql can know the name. ``inside_statement``: SQL before it waits for its end or its data.
    """

    start: int
    end: int
    file: bytes | None
    relative: bool
    inside_statement: bool


class DataFile(Struct, frozen=True, kw_only=True):
    """A file that psql reads as data: by ``\\copy … from`` or ``\\lo_import``. None if only psql can know the name."""

    file: bytes | None


Event: TypeAlias = Include | DataFile


class Scanner:
    """Where in a text psql would be after the lines it was fed. One file, one scanner: includes have their own."""

    def __init__(self) -> None:
        #: Whether the next line is inline data.
        self.in_data = False
        #: Whether a statement was begun and neither ended nor sent.
        self.in_statement = False
        #: Between a ``\\restrict`` of pg_dump and its ``\\unrestrict`` psql refuses every other meta-command.
        self.restricted = False
        self._closer = b""
        self._depth = 0
        self._parentheses = 0
        self._blocks = 0
        self._words: tuple[bytes, bytes] = (b"", b"")
        self._copies = False

    @property
    def unclosed(self) -> str | None:
        """What the text has begun and not closed, in words."""
        if not self._closer:
            return None
        return {b"'": "a string", b"E'": "a string", b'"': "a quoted identifier", b"*/": "a comment"}.get(
            self._closer, "a dollar-quoted string"
        )

    @property
    def ending(self) -> bytes:
        """What to add at the end of the text for it to have the effect it has at the end of a file.

        There psql ends inline data, and sends a statement that has no semicolon.
        """
        if self.in_data:
            return b"\\.\n" * self._blocks
        if not self.in_statement:
            return b""
        return b"\\g\n" if self._parentheses else b";\n"

    def feed(self, line: bytes) -> tuple[Event, ...]:
        """Take one line, with its line end, and return the commands in it that read files."""
        if self.in_data:
            if line.rstrip(b"\r\n") == b"\\." and self._end_of_data():
                self.in_data = False
            return ()
        if not self._closer and (line.isspace() or self._simple(line)):
            return ()
        events: list[Event] = []
        position = 0
        while position < len(line):
            position = self._rest_of_quote(line, position) if self._closer else self._token(line, position, events)
        self.in_data = self._blocks > 0
        return tuple(events)

    def _simple(self, line: bytes) -> bool:
        """Take a line at once, if nothing in it needs a closer look."""
        if _NOT_SIMPLE.search(line):
            return False
        match = _BALANCED.fullmatch(_STRING.sub(b" 0 ", line))
        if match is None:
            return False
        first = self._words[0] or match["first"].upper()
        if first == b"COPY" or (match["end"] and self._parentheses):
            return False
        self._words = (b"", b"") if match["end"] else (first or b"(", b"")
        self.in_statement = not match["end"]
        return True

    def _end_of_data(self) -> bool:
        self._blocks -= 1
        return self._blocks == 0

    def _rest_of_quote(self, line: bytes, position: int) -> int:
        """Go on to the end of what is quoted, or of the line. A doubled quote closes and opens, to the same effect."""
        closer = self._closer
        if closer == b"*/":
            return self._rest_of_comment(line, position)
        if closer == b"E'":
            match = _ESCAPE_STRING_REST.match(line, position)
            end = match.end() if match else -1
        else:
            found = line.find(closer, position)
            end = found + len(closer) if found >= 0 else -1
        if end < 0:
            return len(line)
        self._closer = b""
        return end

    def _rest_of_comment(self, line: bytes, position: int) -> int:
        for edge in _COMMENT_EDGE.finditer(line, position):
            self._depth += 1 if edge[0] == b"/*" else -1
            if self._depth == 0:
                self._closer = b""
                return edge.end()
        return len(line)

    def _token(self, line: bytes, position: int, events: list[Event]) -> int:
        match = _TOKEN.search(line, position)
        if match is None:
            return len(line)
        token, end = match[0], match.end()
        if token.startswith(b"--"):
            return len(line)
        if token == b"/*":
            self._closer, self._depth = b"*/", 1
        elif token.startswith(b"\\") and token not in (b"\\;", b"\\:"):
            return self._command(line, token, match.start(), end, events)
        else:
            self._sql(token)
        return end

    def _sql(self, token: bytes) -> None:
        if token in (b"E'", b"e'"):
            self._closer = b"E'"
        elif token in (b"'", b'"') or (token.startswith(b"$") and token != b"$"):
            self._closer = token
        elif token in (b";", b"\\;"):
            self._separator(ends=token == b";")
            return
        elif token == b"(":
            self._parentheses += 1
        elif token == b")":
            self._parentheses = max(0, self._parentheses - 1)
        if not self._parentheses:
            self._word(token.upper())
        self.in_statement = True

    def _word(self, word: bytes) -> None:
        """Remember the first word of the statement and the latest: ``COPY`` … ``FROM`` then ``STDIN``."""
        first, latest = self._words
        if first == b"COPY" and latest == b"FROM" and word == b"STDIN":
            self._copies = True
        self._words = (first or word, word)

    def _separator(self, *, ends: bool) -> None:
        if self._parentheses and ends:
            return
        self._blocks += self._copies
        self._copies, self._words = False, (b"", b"")
        if ends:
            self.in_statement = False

    def _command(self, line: bytes, name: bytes, start: int, end: int, events: list[Event]) -> int:
        if name in _INCLUDES and not self.restricted:
            return self._include(line, start, end, events, relative=_INCLUDES[name])
        if name in _WHOLE_LINE:
            if name == b"\\copy" and not self.restricted:
                self._backslash_copy(line[end:], events)
            return len(line)
        if name == b"\\lo_import" and not self.restricted:
            return self._lo_import(line, end, events)
        if name in (b"\\restrict", b"\\unrestrict"):
            self.restricted = name == b"\\restrict"
        elif name in _ENDING:
            self._parentheses = 0
            self._separator(ends=True)
        return end_of_arguments(line, end)

    def _include(self, line: bytes, start: int, end: int, events: list[Event], *, relative: bool) -> int:
        argument, after = first_argument(line, end)
        rest = end_of_arguments(line, after)
        if not argument:
            return rest  # psql says what is missing
        events.append(
            Include(
                start=start,
                end=rest,
                file=file_name(argument),
                relative=relative,
                inside_statement=self.in_statement or self._blocks > 0,
            )
        )
        return rest

    def _lo_import(self, line: bytes, end: int, events: list[Event]) -> int:
        argument, after = first_argument(line, end)
        if argument:
            events.append(DataFile(file=file_name(argument)))
        return end_of_arguments(line, after)

    def _backslash_copy(self, arguments: bytes, events: list[Event]) -> None:
        source = copy_source(arguments)
        if source == STDIN:
            self._blocks += 1
        elif source is not None:
            events.append(DataFile(file=source))
