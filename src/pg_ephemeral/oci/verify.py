"""Checking content against its descriptor while it passes by. No input or output of its own."""

from __future__ import annotations

import hashlib

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import Readable

__all__ = ["Verified", "check"]

_PIECE = 1024 * 1024


class Verified:
    """Reads on from ``source``, raising ``RegistryError`` (``corrupt``) before the last piece if the whole is wrong.

    ``where`` says whose content it is: a repository, a directory.
    """

    def __init__(self, source: Readable, descriptor: Descriptor, where: str) -> None:
        self._source = source
        self._descriptor = descriptor
        self._where = where
        self._hash = hashlib.new(str(descriptor.digest.algorithm))
        self._left = descriptor.size
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes (below 0: all that is left), and none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        if size == 0 or self._ended:
            return b""
        piece = self._source.read(size)
        self._hash.update(piece)
        self._left -= len(piece)
        if self._left < 0:
            raise self._corrupt(f"it is longer than {self._descriptor.size} bytes")
        if self._left == 0:
            self._end()
        elif not piece:
            raise self._corrupt(f"it ends {self._left} bytes early")
        return piece

    def _end(self) -> None:
        """The last byte was read: nothing follows it, and the digest is right."""
        self._ended = True
        if self._source.read(1):
            raise self._corrupt(f"it is longer than {self._descriptor.size} bytes")
        if self._hash.hexdigest() != self._descriptor.digest.hex:
            raise self._corrupt(f"its digest is {self._descriptor.digest.algorithm}:{self._hash.hexdigest()}")

    def _corrupt(self, what: str) -> RegistryError:
        return RegistryError(f"{self._descriptor.digest} of {self._where} is damaged: {what}", state=State.CORRUPT)


def check(data: bytes, descriptor: Descriptor, where: str) -> None:
    """Check content that is in memory; raises as ``Verified`` does."""
    Verified(_InMemory(data), descriptor, where).read()


class _InMemory:
    """All of it at once, and then nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, _size: int = -1, /) -> bytes:
        data, self._data = self._data, b""
        return data
