"""A configuration file as read: its text, its values, where they are, and errors that say so. It gives no meaning.

Every error is one ``ConfigError`` whose message begins with ``file:line:column:`` where there is a place to point at,
and whose ``detail`` shows that line with the place marked.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from pg_ephemeral.config.position import KeyPath, Locations, Span, dotted, line_and_column, locate
from pg_ephemeral.errors import ConfigError

__all__ = ["Document", "load_document", "parse_document"]

_EXCERPT_CHARACTERS = 100
_READER_PLACE = r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"
_CONFLICTS = ("Cannot ", "Duplicate ")
_READER_HINTS = {
    "Invalid value": "put text in quotes; besides that there are numbers, true, false, [lists] and {tables}",
    "Invalid initial character for a key part": "an inline table {…} stands on one line, without a trailing comma",
    "Unclosed array": "separate the elements of a list with commas and end it with ]",
}


class Document(Struct, frozen=True, kw_only=True):
    """The values of a TOML text, and the text: where they are is looked up for an error alone.

    ``shown`` is what error messages call the file.
    """

    shown: str
    text: str
    values: Mapping[str, Any]

    def error(
        self, path: KeyPath, problem: str, *, hint: str | None = None, at: KeyPath | None = None, at_key: bool = False
    ) -> ConfigError:
        """What is wrong with the value of ``path``. It points at the value of ``at``, or at its key if ``at_key``."""
        message = f"{dotted(path)}: {problem}" if path else problem
        span = _span(locate(self.text), path if at is None else at, at_key=at_key)
        return _positioned(self.shown, self.text, span, message, hint)

    def written(self, path: KeyPath) -> str:
        """The text of the value of ``path``; empty for a table that has a header instead."""
        location = locate(self.text).first.get(path)
        span = location.value if location else None
        return self.text[span.start : span.end] if span else ""


def load_document(path: Path, *, shown: str) -> Document:
    """Read ``path``. Raises ``ConfigError`` when it cannot be read, is not UTF-8, or is not TOML 1.0."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{shown}: there is no such file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{shown}: this is a directory", hint="name the file itself") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{shown}: it cannot be read: {reason}") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = line_and_column(before, len(before))
        raise ConfigError(
            f"{shown}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8", hint="save the file as UTF-8"
        ) from error
    return parse_document(text, shown=shown)


def parse_document(text: str, *, shown: str) -> Document:
    """Read TOML. Raises ``ConfigError``."""
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _refuse(text, shown=shown, error=error)
    except RecursionError as error:
        raise ConfigError(f"{shown}: its values are nested too deeply") from error
    except ValueError as error:
        # An integer beyond what the reader converts: its own error names neither the place nor the reason.
        raise ConfigError(f"{shown}: a number in it has too many digits") from error
    return Document(shown=shown, text=text, values=values)


def _refuse(text: str, *, shown: str, error: tomllib.TOMLDecodeError) -> NoReturn:
    """Raise the reader's error with its place; one about a key declared twice at that key, naming the first."""
    place = re.search(_READER_PLACE, str(error))
    reason = str(error)[: place.start()] if place else str(error)
    offset = _offset(text, int(place["line"]), int(place["column"])) if place and place["line"] else len(text)
    hint = _READER_HINTS.get(reason)
    if reason.startswith(_CONFLICTS):
        locations = locate(text)
        twice = [span for span in locations.again if span.start <= offset]
        if twice:
            span = max(twice, key=lambda candidate: candidate.start)
            path = locations.again[span]
            line, _ = line_and_column(text, locations.first[path].key.start)
            problem = f"{dotted(path)}: declared twice, first in line {line}"
            raise _positioned(shown, text, span, problem, "keep one of the two, or give one another name") from error
        hint = "an inline table {…} cannot be added to, and a key is either a value or a table"
    problem = f"{reason[:1].lower()}{reason[1:]}"
    raise _positioned(shown, text, Span(start=offset, end=offset + 1), problem, hint) from error


def _span(locations: Locations, path: KeyPath, *, at_key: bool) -> Span | None:
    """Where ``path`` is, or the nearest table around it that is written."""
    while path and path not in locations.first:
        path = path[:-1]
    if not path:
        return None
    location = locations.first[path]
    return location.key if at_key or location.value is None else location.value


def _offset(text: str, line: int, column: int) -> int:
    """The offset of a line and a column, both from 1."""
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def _positioned(shown: str, text: str, span: Span | None, problem: str, hint: str | None) -> ConfigError:
    if span is None:
        return ConfigError(f"{shown}: {problem}", hint=hint)
    line, column = line_and_column(text, span.start)
    return ConfigError(
        f"{shown}:{line}:{column}: {problem}", hint=hint, detail=_excerpt(text, span, line=line, column=column)
    )


def _excerpt(text: str, span: Span, *, line: int, column: int) -> str:
    """The line of ``span`` with carets below it; of a long line, what is near them."""
    # What a terminal would obey rather than show is replaced.
    whole = "".join(
        c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text.split("\n")[line - 1]
    )
    before = column - 1
    start = max(0, before - _EXCERPT_CHARACTERS // 2) if len(whole) > _EXCERPT_CHARACTERS else 0
    shown = whole[start : start + _EXCERPT_CHARACTERS]
    carets = "^" * max(1, min(span.end - span.start, len(shown) - (before - start)))
    indent = "".join("\t" if character == "\t" else " " for character in shown[: before - start])
    return f"{line} | {shown}\n{' ' * len(str(line))} | {indent}{carets}"
