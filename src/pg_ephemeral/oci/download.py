"""Reading a blob from a registry, going on where it was cut."""

from __future__ import annotations

import re
from collections.abc import Callable

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.patience import Deadline, Patience
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.transport import Response

__all__ = ["Download", "Fetch"]

_SKIP = 1024 * 1024
_RANGE = re.compile(r"bytes\s+(\d+)-")

#: Asks for the blob from this byte on; statuses 200, 206 and 416 come back as answers, all else as errors.
Fetch = Callable[[int], Response]


class Download:
    """A blob's bytes as the registry gives them, unchecked but for the size it announces; ``close`` when done.

    After a cut it asks for the rest (RFC 9110, section 14), as long as there is progress or ``patience``, and for
    ``limit`` seconds altogether.
    """

    def __init__(self, fetch: Fetch, descriptor: Descriptor, what: str, patience: Patience, limit: float) -> None:
        self._fetch = fetch
        self._descriptor = descriptor
        self._what = what
        self._patience = patience
        self._deadline = Deadline.within(limit, patience)
        self._at = 0
        self._response: Response | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes, and none at the end."""
        return self._patience.insist(lambda: self._read(size), progress=lambda: self._at)

    def close(self) -> None:
        """Let the connection go."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _read(self, size: int) -> bytes:
        self._deadline.check(self._patience.clock(), self._what)
        response = self._response
        if response is None and self._at == self._descriptor.size > 0:
            return b""
        if response is None:
            response = self._response = self._open()
        try:
            piece = response.read(size)
        except RegistryError:
            self.close()
            raise
        if not piece and size != 0 and self._at < self._descriptor.size:
            self.close()
            raise RegistryError(
                f"{self._what}: cut after {self._at} of {self._descriptor.size} bytes", state=State.DOWN
            )
        self._at += len(piece)
        return piece

    def _open(self) -> Response:
        response = self._fetch(self._at)
        try:
            self._align(response)
        except BaseException:
            response.close()
            raise
        return response

    def _align(self, response: Response) -> None:
        """Bring the answer to where we are: it may begin there, or at the start."""
        length = response.header("Content-Length")
        start = 0
        if response.status == 206:
            match = _RANGE.match(response.header("Content-Range") or "")
            start = int(match[1]) if match else self._at
        whole = None if length is None or not length.isdigit() else start + int(length)
        if response.status == 416 or start > self._at or (whole is not None and whole != self._descriptor.size):
            there = "less" if whole is None else f"{whole} bytes"
            raise RegistryError(
                f"{self._what} is damaged: the registry has {there} of {self._descriptor.size} bytes",
                state=State.CORRUPT,
            )
        left = self._at - start
        while left > 0:
            piece = response.read(min(left, _SKIP))
            if not piece:
                raise RegistryError(f"{self._what}: cut again before byte {self._at}", state=State.DOWN)
            left -= len(piece)
