"""Sending a blob to a registry: in one request, or in chunks where a proxy or the registry does not take it whole.

Distribution specification 1.1, "Pushing blobs". One request is the form that every registry takes; chunks are refused
by some and mishandled by others, so they come second, and are believed only as far as the registry confirms them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.endpoint import registry_of
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.patience import Deadline, Patience
from pg_ephemeral.oci.reference import Name
from pg_ephemeral.oci.session import Ask, Session
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import BlobSource, Readable
from pg_ephemeral.oci.tokens import Scopes
from pg_ephemeral.oci.transport import Response

__all__ = ["Target", "Upload"]

_PIECE = 256 * 1024
_CHUNK = 5 * 1024 * 1024
_MOST_CHUNK = 64 * 1024 * 1024

#: ghcr.io takes no larger ones.
_CHUNK_OF = {"ghcr.io": 4 * 1024 * 1024}

#: So many connections cut in the middle of a body mean that somebody on the way does not take bodies of this size.
_MOST_CUTS = 3

_CONFIRMED = re.compile(r"(?:bytes=)?0-(\d+)")
_OCTETS = {"Content-Type": "application/octet-stream"}


class Target(Struct, frozen=True, kw_only=True):
    """A repository to write to: its session, its path in the registry, and the scopes that writing needs."""

    session: Session
    repository: Name
    path: str
    scopes: Scopes


class Upload:
    """One blob on its way to ``target``, for ``limit`` seconds altogether."""

    def __init__(
        self, target: Target, descriptor: Descriptor, source: BlobSource, patience: Patience, limit: float
    ) -> None:
        self.target = target
        self._descriptor = descriptor
        self._source = source
        self._patience = patience
        self._deadline = Deadline.within(limit, patience)
        self._cuts = 0
        self._confirmed = 0

    def send(self, begun: str | None = None) -> None:
        """Send it, to the open upload at the URL ``begun`` at first. A try that fails is begun anew.

        The registry checks the digest, and keeps nothing that does not fit.
        """
        openings = [begun] if begun is not None else []
        try:
            self._patience.insist(lambda: self._whole(openings.pop() if openings else None))
        except _TooLargeError:
            self._patience.insist(self._in_chunks, progress=lambda: self._confirmed)

    def _whole(self, begun: str | None) -> None:
        url = begun or self.opened()[0]
        headers = {**_OCTETS, "Content-Length": str(self._descriptor.size)}
        with self._source() as blob:
            try:
                response = self._ask(
                    "PUT",
                    self._closing(url),
                    headers,
                    _Announced(blob, self._descriptor, self._check_time).pieces(),
                    (201, 413),
                )
            except RegistryError as error:
                self._cut(error)
                raise
        response.close()
        if response.status == 413:
            raise _TooLargeError

    def _cut(self, error: RegistryError) -> None:
        # A cause means that there was no answer at all.
        if error.state == State.DOWN and error.__cause__ is not None:
            self._cuts += 1
        if self._cuts >= _MOST_CUTS and self._descriptor.size > _CHUNK:
            raise _TooLargeError from error

    def _in_chunks(self) -> None:
        url, size = self.opened()
        sent = 0
        with self._source() as blob:
            announced = _Announced(blob, self._descriptor, self._check_time)
            while chunk := announced.chunk(size):
                headers = {**_OCTETS, "Content-Range": f"{sent}-{sent + len(chunk) - 1}"}
                response = self._ask("PATCH", url, headers, chunk, (202,))
                sent += len(chunk)
                self._check_confirmed(response, sent)
                url = self._location(response)
        self._ask("PUT", self._closing(url), {"Content-Length": "0"}, b"", (201,)).close()

    def opened(self) -> tuple[str, int]:
        """Open an upload: where to send to, and the size that chunks should have, if it comes to chunks."""
        path = f"{self.target.path}/blobs/uploads/"
        response = self._ask("POST", path, {"Content-Length": "0"}, b"", (202,))
        least = response.header("OCI-Chunk-Min-Length") or ""
        size = _CHUNK_OF.get(registry_of(self.target.repository), _CHUNK)
        if least.isdigit():
            size = max(size, min(int(least), _MOST_CHUNK))
        return self._location(response), size

    def _check_confirmed(self, response: Response, sent: int) -> None:
        match = _CONFIRMED.fullmatch((response.header("Range") or "").strip())
        if match is None or int(match[1]) != sent - 1:
            response.close()
            raise RegistryError(f"{self._what}: the registry loses chunks of an upload", state=State.UNKNOWN)
        self._confirmed = max(self._confirmed, sent)

    def _location(self, response: Response) -> str:
        location = response.header("Location")
        response.close()
        if not location:
            raise RegistryError(f"{self._what}: the registry does not say where to upload to", state=State.UNKNOWN)
        return self.target.session.elsewhere(response.url, location, self._what)

    def _closing(self, url: str) -> str:
        return f"{url}{'&' if '?' in url else '?'}digest={self._descriptor.digest}"

    def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Iterator[bytes], accept: tuple[int, ...]
    ) -> Response:
        return self.target.session.ask(
            Ask(
                method=method,
                url=url,
                what=self._what,
                scopes=self.target.scopes,
                writing=True,
                headers=headers,
                body=body or None,
                accept=accept,
            )
        )

    def _check_time(self) -> None:
        self._deadline.check(self._patience.clock(), self._what)

    @property
    def _what(self) -> str:
        return f"{self.target.repository}: {self._descriptor.digest}"


class _TooLargeError(Exception):
    """The blob does not go through in one request."""


class _Announced:
    """A blob's bytes, exactly as many as are announced: less would leave the registry waiting."""

    def __init__(self, blob: Readable, descriptor: Descriptor, check_time: Callable[[], None]) -> None:
        self._blob = blob
        self._check_time = check_time
        self._descriptor = descriptor
        self._left = descriptor.size

    def read(self, size: int) -> bytes:
        self._check_time()
        piece = self._blob.read(size)
        self._left -= len(piece)
        if self._left < 0 or (not piece and self._left > 0):
            raise RegistryError(
                f"{self._descriptor.digest}: what is to be sent does not have {self._descriptor.size} bytes",
                state=State.CORRUPT,
            )
        return piece

    def pieces(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_PIECE), b"")

    def chunk(self, size: int) -> bytes:
        chunk = bytearray()
        while len(chunk) < size and (piece := self.read(min(_PIECE, size - len(chunk)))):
            chunk += piece
        return bytes(chunk)
