"""Lines ``\\.`` in CSV, which end the data for servers before 18 (PostgreSQL 18 release notes, COPY). Pure.

Written with a quoted part, such a line means the same and ends nothing, also where it is itself within quotes: there
the first quote closes and the second opens again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

#: The first server for which ``\\.`` is data like any other.
TOLERANT: Final = 180_000

_MARK: Final = b"\\."
_LINE: Final = re.compile(rb"(?<![^\r\n])\\\.(?![^\r\n])")
_END: Final = re.compile(rb"[\r\n]")


def quoted_ends(pieces: Iterable[bytes], *, quote: str, delimiter: str) -> Iterator[bytes]:
    """The same content without such lines."""
    mark = _replacement(quote.encode(), delimiter.encode())
    rest, within_line = b"", False
    for piece in pieces:
        text = rest + piece
        begun = _END.search(text) if within_line else None
        if within_line and begun is None:
            yield text
            continue
        start = begun.end() if begun else 0
        end = max(text.rfind(b"\n"), text.rfind(b"\r"), start - 1) + 1
        yield text[:start] + _without_marks(text[start:end], mark)
        # Of a line that only begins here no more is kept back than can still become such a line.
        rest, within_line = text[end:], len(text) - end > len(_MARK)
        if within_line:
            yield rest
            rest = b""
    yield _without_marks(rest, mark)


def _replacement(quote: bytes, delimiter: bytes) -> bytes:
    if quote in _MARK:
        return _MARK
    first, second = b"\\", b"."
    if delimiter == first:
        second = quote + second + quote
    else:
        first = quote + first + quote
    return first + second


def _without_marks(text: bytes, mark: bytes) -> bytes:
    return _LINE.sub(lambda _: mark, text) if _MARK in text else text
