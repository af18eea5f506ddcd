"""Where the keys and values of a TOML text are: the standard library's reader does not say. Nothing is interpreted.

``locate`` walks the text of a document and notes, for each path of keys, the characters of the key's last part and of
its value. It trusts the reader to have judged the text: of a broken document it notes what comes before the break.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeAlias

from msgspec import Struct, field

__all__ = ["KeyPath", "Location", "Locations", "Span", "dotted", "line_and_column", "locate"]

#: The keys from the top of a document to a value; a number is the index of an array's element, from 0.
KeyPath: TypeAlias = tuple[str | int, ...]

_BLANK = r"[ \t]*"
_SPACE = r"(?:[ \t\n]|#[^\n]*)*"
_STRING = r'(?s:"""(?:\\.|[^\\])*?""""{0,2}' r"|'''.*?''''{0,2}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*')"
_KEY_PART = r"[A-Za-z0-9_-]+" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'"
_BARE_KEY = r"[A-Za-z0-9_-]+"
_SCALAR = r"[^,\]}\n#]*[^,\]}\n# \t]"


class Span(Struct, frozen=True, kw_only=True):
    """Characters of the text from offset ``start`` up to, without, ``end``; from 0."""

    start: int
    end: int


class Location(Struct, frozen=True, kw_only=True):
    """Where something is: the last part of its key, and its value if it is written after that key.

    An element of an array has its value for a key. ``explicit`` is False for a table that only exists because a table
    in it was declared.
    """

    key: Span
    value: Span | None = None
    explicit: bool = True


class Locations(Struct, frozen=True, kw_only=True):
    """What was found: each path's first place; and the paths declared again, by the last part of that key."""

    first: Mapping[KeyPath, Location]
    again: Mapping[Span, KeyPath]


def dotted(path: KeyPath) -> str:
    """``path`` as TOML writes it, quoted where it must be; indexes in brackets, as in ``seeds.load.arguments[1]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            written = part if re.fullmatch(_BARE_KEY, part) else json.dumps(part, ensure_ascii=False)
            text += f".{written}" if text else written
    return text


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """The line and, in characters, the column of ``offset``; both from 1, as editors count."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def locate(text: str) -> Locations:
    """Find every key of ``text``, whose lines end in line feeds alone."""
    walk = _Walk(text=text)
    # The reader says what is wrong with the text; what was found before that place holds.
    with suppress(_Stop, RecursionError):
        walk.document()
    return Locations(first=walk.first, again=walk.again)


class _Stop(Exception):
    """The text cannot be followed any further."""


class _Walk(Struct, kw_only=True):
    """A position in the text, moving forward."""

    text: str
    offset: int = 0
    first: dict[KeyPath, Location] = field(default_factory=dict)
    again: dict[Span, KeyPath] = field(default_factory=dict)
    tables: dict[KeyPath, int] = field(default_factory=dict)  # how many tables each array of tables has

    def document(self) -> None:
        """Statements up to the end: table headers, and keys with values."""
        table: KeyPath = ()
        self.skip(_SPACE)
        while self.offset < len(self.text):
            if self.at("["):
                table = self.header()
            else:
                self.pair(table)
            self.skip(_SPACE)

    def header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``: the path of the table that begins here."""
        several = self.at("[[")
        self.offset += 2 if several else 1
        parts = self.key()
        self.expect("]]" if several else "]")
        path: KeyPath = ()
        for name, span in parts[:-1]:
            path = self.newest((*path, name))
            self.note(path, Location(key=span, explicit=False))
        name, span = parts[-1]
        path = (*path, name)
        if several:
            self.first.setdefault(path, Location(key=span, explicit=False))
            self.tables[path] = self.tables.get(path, 0) + 1
            path = self.newest(path)
        self.note(path, Location(key=span))
        return path

    def newest(self, path: KeyPath) -> KeyPath:
        """The last table of ``path`` if that is an array of tables, else ``path`` itself."""
        return (*path, self.tables[path] - 1) if path in self.tables else path

    def pair(self, table: KeyPath) -> None:
        """``key = value``, which adds to ``table``."""
        parts = self.key()
        path = table
        for name, span in parts[:-1]:
            path = (*path, name)
            self.note(path, Location(key=span, explicit=False))
        name, span = parts[-1]
        path = (*path, name)
        known = len(self.first)
        self.note(path, Location(key=span))
        fresh = len(self.first) > known
        self.expect("=")
        self.skip(_BLANK)
        start = self.offset
        self.value(path)
        if fresh:
            self.first[path] = Location(key=span, value=Span(start=start, end=self.offset))

    def note(self, path: KeyPath, location: Location) -> None:
        """Keep the first place of ``path``, and what declares it once more."""
        earlier = self.first.get(path)
        if earlier is None:
            self.first[path] = location
        elif location.explicit and earlier.explicit:
            self.again[location.key] = path
        elif location.explicit:
            self.first[path] = location

    def value(self, path: KeyPath) -> None:
        """Any value; the keys of an inline table and the elements of an array are below ``path``."""
        if self.at("{"):
            self.members("}", lambda _: self.pair(path))
        elif self.at("["):
            self.members("]", lambda index: self.element((*path, index)))
        elif self.at('"', "'"):
            self.take(_STRING)
        else:
            self.take(_SCALAR)

    def element(self, path: KeyPath) -> None:
        """One element of an array."""
        start = self.offset
        self.value(path)
        span = Span(start=start, end=self.offset)
        self.first[path] = Location(key=span, value=span)

    def members(self, closing: str, member: Callable[[int], None]) -> None:
        """What stands between brackets, with commas between."""
        self.offset += 1
        index = 0
        self.skip(_SPACE)
        while not self.at(closing):
            member(index)
            index += 1
            self.skip(_SPACE)
            if not self.at(closing):
                self.expect(",")
                self.skip(_SPACE)
        self.offset += 1

    def key(self) -> list[tuple[str, Span]]:
        """A key, dotted or not: its parts and where they are."""
        parts: list[tuple[str, Span]] = []
        while True:
            self.skip(_BLANK)
            start = self.offset
            written = self.take(_KEY_PART)
            parts.append((_key_text(written), Span(start=start, end=self.offset)))
            self.skip(_BLANK)
            if not self.at("."):
                return parts
            self.offset += 1

    def at(self, *texts: str) -> bool:
        return self.text.startswith(texts, self.offset)

    def expect(self, text: str) -> None:
        if not self.at(text):
            raise _Stop
        self.offset += len(text)

    def skip(self, pattern: str) -> None:
        match = re.compile(pattern).match(self.text, self.offset)
        self.offset = match.end() if match else self.offset

    def take(self, pattern: str) -> str:
        match = re.compile(pattern).match(self.text, self.offset)
        if match is None:
            raise _Stop
        self.offset = match.end()
        return match[0]


def _key_text(written: str) -> str:
    """What a part of a key says, its quotes and escapes undone."""
    if written[0] == "'":
        return written[1:-1]
    if "\\" not in written:
        return written.strip('"')
    try:
        return str(tomllib.loads(f"key = {written}")["key"])
    except tomllib.TOMLDecodeError:
        raise _Stop from None
