"""The arguments of psql's meta-commands, by psql's rules (PostgreSQL manual, psql, "Meta-Commands"). Pure."""

from __future__ import annotations

import re
from typing import Final

#: An argument of a meta-command ends at white space or a backslash; one whose quote is not closed ends with the line.
_QUOTED_ARGUMENT = rb"'(?:[^'\\\n]|''|\\[^\n])*(?:'|(?=\n)|\Z)|`[^`\n]*`?|\"[^\"\n]*\"?"
_ARGUMENT: Final = re.compile(rb"[ \t\r\f\v]*((?:[^\s\\'`\"]|" + _QUOTED_ARGUMENT + rb")+)")
_ARGUMENTS: Final = re.compile(rb"(?:[^\\'`\"\n]|" + _QUOTED_ARGUMENT + rb")*")
_COMPUTED: Final = re.compile(rb":[A-Za-z0-9_'\"{\x80-\xff]|`")

_QUOTED: Final = re.compile(rb"'((?:[^'\\]|''|\\.)*)'?", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ESCAPED: Final = {b"n": b"\n", b"t": b"\t", b"b": b"\b", b"r": b"\r", b"f": b"\f"}

_COPY_WORD: Final = re.compile(rb"'(?:[^']|'')*'|\"[^\"]*\"|[()]|[^\s()'\"]+")

#: What ``copy_source`` returns for data that stands in the text itself; no file has that name.
STDIN: Final = b""


def first_argument(line: bytes, position: int) -> tuple[bytes, int]:
    """The argument that begins behind ``position``, as it is written, and where it ends; it may be missing."""
    match = _ARGUMENT.match(line, position)
    return (match[1], match.end()) if match else (b"", position)


def end_of_arguments(line: bytes, position: int) -> int:
    """Where SQL or another command goes on: behind ``\\\\``, at a backslash, or nowhere on this line."""
    match = _ARGUMENTS.match(line, position)
    end = match.end() if match else position
    if line[end : end + 2] == b"\\\\":
        return end + 2
    return end if line[end : end + 1] == b"\\" else len(line)


def file_name(argument: bytes) -> bytes | None:
    """The name as psql reads it: single quotes are taken off, and semicolons at the end.

    None if psql computes it, from a variable or from what a program prints.
    """
    if _COMPUTED.search(_QUOTED.sub(b"'", argument)):
        return None
    name = _QUOTED.sub(_unquoted, argument)
    return name if argument.endswith(b"'") else name.rstrip(b";")


def _unquoted(match: re.Match[bytes]) -> bytes:
    return _ESCAPE.sub(_unescaped, match[1].replace(b"''", b"'"))


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, character = match.groups()
    if octal or hexadecimal:
        return bytes([int(octal or hexadecimal, 8 if octal else 16) & 0xFF])
    return _ESCAPED.get(character, character)


def copy_source(arguments: bytes) -> bytes | None:
    """The file of ``\\copy { table | (query) } from { 'file' | program 'command' | stdin | pstdin }``, or ``STDIN``.

    None if it is a program, or the direction is the other.
    """
    depth, previous = 0, b""
    for word in _COPY_WORD.findall(arguments):
        if depth == 0 and previous.lower() == b"from":
            return _source(word)
        depth += {b"(": 1, b")": -1}.get(word, 0)
        previous = word
    return None


def _source(word: bytes) -> bytes | None:
    if word.lower() in (b"stdin", b"pstdin"):
        return STDIN
    if word.startswith(b"'"):
        return bytes(word[1:-1].replace(b"''", b"'"))
    return None if word.lower() == b"program" else word.rstrip(b";")
