"""A layer's bytes without their compression, read ahead by a thread: gzip of any number of members, zstd, or none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, cast

from pg_ephemeral.errors import PgEphemeralError, RegistryError
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import Readable

__all__ = ["decompressed"]

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
#: A zstd stream may also begin with a frame to be skipped: any of sixteen numbers, these their last three bytes.
_SKIPPABLE = b"\x2a\x4d\x18"
_PIECE = 1 << 20


@contextmanager
def decompressed(source: Readable, name: str) -> Iterator[Readable]:
    """Yield what ``source`` holds, whatever it is compressed with; its first bytes tell.

    Reading raises ``RegistryError`` with the state ``corrupt``, naming the layer, and what ``source`` raises.
    """
    peeked = _Peeked(source)
    head = peeked.head
    if head.startswith(_GZIP):
        stream = _gunzip(peeked)
    elif head.startswith(_ZSTD) or head[1:] == _SKIPPABLE:
        stream = _unzstd(peeked)
    else:
        yield peeked
        return
    with closing(stream):
        yield _Mapped(stream, name)


def _gunzip(source: _Peeked) -> BinaryIO:
    from isal import igzip_threaded

    opened = igzip_threaded.open(source, "rb", block_size=_PIECE)  # type: ignore[no-untyped-call]  # not annotated
    return cast("BinaryIO", opened)


def _unzstd(source: _Peeked) -> BinaryIO:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast("BinaryIO", zstd.open(cast("BinaryIO", source), "rb"))


class _Peeked:
    """A source whose first bytes were looked at; the decompressors take it for a file."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._held = b""
        while len(self._held) < len(_ZSTD) and (piece := source.read(_PIECE)):
            self._held += piece
        self.head = self._held[: len(_ZSTD)]

    def read(self, size: int = -1, /) -> bytes:
        if not self._held:
            return self._source.read(size)
        if size < 0:
            size = len(self._held)
        piece, self._held = self._held[:size], self._held[size:]
        return piece

    def readinto(self, buffer: memoryview) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Whoever opened the source closes it."""


class _Mapped:
    """Reads on, in the words of our errors."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except PgEphemeralError:
            raise
        except Exception as error:  # each library has errors of its own, without a common base
            what = f"layer {self._name}: cannot be decompressed: {error or type(error).__name__}"
            raise RegistryError(what, state=State.CORRUPT) from error
