"""Registries as a content store: the client side of the distribution specification 1.1.

Reads and writes whatever repositories it is asked for, as the user the engines' credential files say we are. Nothing is
connected before the first question; every question is asked again for as long as ``Patience`` has it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci import certificates, credentials
from pg_ephemeral.oci.asks import blob_ask, described, digest_of, manifest_ask, media_type_of, scope
from pg_ephemeral.oci.credentials import Keychain
from pg_ephemeral.oci.download import Download
from pg_ephemeral.oci.endpoint import registry_of, served_as
from pg_ephemeral.oci.model import Descriptor, describe
from pg_ephemeral.oci.patience import Patience
from pg_ephemeral.oci.reference import Name, Reference
from pg_ephemeral.oci.session import Ask, Session
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import METADATA_LIMIT, BlobSource, Content, Readable
from pg_ephemeral.oci.transport import Response, Timeouts, Transport
from pg_ephemeral.oci.upload import Target, Upload
from pg_ephemeral.oci.verify import Verified, check

__all__ = ["RegistryOptions", "RegistryStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How registries are spoken to.

    ``keychain`` finds credentials. ``insecure`` permits plain HTTP to other machines, where TLS is not spoken; a
    certificate that is not trusted stays an error. ``places`` are directories with authorities by registry.
    ``blob_limit`` is the number of seconds one blob may take, however slowly it moves.
    """

    keychain: Keychain = field(default_factory=credentials.keychain)
    insecure: bool = False
    places: tuple[Path, ...] = field(default_factory=certificates.directories)
    patience: Patience = field(default_factory=Patience)
    timeouts: Timeouts = field(default_factory=Timeouts)
    blob_limit: float = 3600.0


class RegistryStore:
    """The registries of the world; a ``ContentStore``. A context manager, which closes its connections."""

    def __init__(self, options: RegistryOptions | None = None) -> None:
        given = options or RegistryOptions()
        self._ended = threading.Event()
        self._options = replace(given, patience=replace(given.patience, stopped=self._ended))
        self._transport = Transport(timeouts=self._options.timeouts, places=self._options.places)
        self._guard = threading.Lock()
        self._sessions: dict[Name, Session] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, and with them what goes on in other threads; nothing can be asked any more."""
        self._ended.set()
        self._transport.close()

    def resolve(self, reference: Reference) -> Descriptor | None:
        """Ask with HEAD, which some registries do not count; with GET where that says too little."""
        request = manifest_ask("HEAD", reference, accept=(200, 404, 400, 405, 501))
        with _refusal_suppressed():
            response = self._ask(request, reference.name)
            response.close()
            if response.status == 404:
                return None
            if response.status == 200 and (found := described(response, reference)) is not None:
                return found
        content = self.manifest(reference)
        return None if content is None else content.descriptor

    def manifest(self, reference: Reference) -> Content | None:
        """Get it. Raises ``RegistryError``: ``corrupt`` when it is not what its digest says."""
        request = manifest_ask("GET", reference, accept=(200, 404))

        def read() -> Content | None:
            response = self._session(reference.name).ask(request)
            if response.status == 404:
                response.close()
                return None
            data = response.read_limited(METADATA_LIMIT + 1)
            if len(data) > METADATA_LIMIT:
                raise RegistryError(f"{reference} is damaged: over {METADATA_LIMIT} bytes long", state=State.CORRUPT)
            descriptor = describe(media_type_of(response, data), data)
            promised = reference.digest or digest_of(response)
            if promised is not None:
                descriptor = replace(descriptor, digest=promised)
                check(data, descriptor, str(reference.name))
            return Content(descriptor=descriptor, data=data)

        return self._options.patience.insist(read)

    def has_blob(self, repository: Name, descriptor: Descriptor) -> bool:
        """Ask for it with HEAD. A registry that does not tell us counts as one that does not have it."""
        try:
            response = self._ask(blob_ask("HEAD", repository, descriptor, accept=(200, 404)), repository)
        except RegistryError as error:
            if State(error.state).is_miss:
                return False
            raise
        response.close()
        return response.status == 200

    @contextmanager
    def open_blob(self, repository: Name, descriptor: Descriptor) -> Iterator[Readable]:
        """Read it, going on after a cut. Raises ``RegistryError``, ``corrupt`` when it is gone or wrong."""
        request = blob_ask("GET", repository, descriptor, accept=(200, 206, 404, 416))

        def fetch(start: int) -> Response:
            headers = {"Range": f"bytes={start}-"} if start else {}
            response = self._session(repository).ask(replace(request, headers=headers))
            if response.status == 404:
                response.close()
                raise RegistryError(f"{request.what} is gone, though a manifest names it", state=State.CORRUPT)
            return response

        download = Download(fetch, descriptor, request.what, self._options.patience, self._options.blob_limit)
        try:
            yield Verified(download, descriptor, str(repository))
        finally:
            download.close()

    def put_blob(
        self, repository: Name, descriptor: Descriptor, source: BlobSource, *, mount_from: Collection[Name] = ()
    ) -> bool:
        """Send a blob, unless it is there or can be mounted from another repository of the same registry."""
        if self.has_blob(repository, descriptor):
            return False
        begun = None
        other = self._holder(repository, descriptor, mount_from)
        if other is not None:
            mounted, begun = self._mount(repository, descriptor, other)
            if mounted:
                return False
        self._upload(repository, descriptor, source).send(begun)
        return True

    def put_manifest(self, reference: Reference, media_type: str, data: bytes) -> Descriptor:
        """Put it under the reference's tag, or under its digest when it has no tag."""
        descriptor = describe(media_type, data)
        where = Reference(name=reference.name, tag=reference.tag) if reference.tag else reference
        request = replace(
            manifest_ask("PUT", where, accept=(201,)),
            scopes=(scope(reference.name, "pull,push"),),
            writing=True,
            headers={"Content-Type": media_type},
            body=data,
        )
        # Several that put the same manifest at once can make a registry believe that it got half of one.
        session = self._session(reference.name)
        response = self._options.patience.insist(lambda: session.ask(request), also=(State.CORRUPT,))
        response.close()
        kept = digest_of(response)
        if kept is not None and kept.algorithm == descriptor.digest.algorithm and kept != descriptor.digest:
            raise RegistryError(f"{reference}: the registry keeps something else: {kept}", state=State.CORRUPT)
        return descriptor

    def may_write(self, repository: Name) -> bool:
        """Whether we may push here, found out by opening an upload and giving it up."""
        upload = self._upload(repository, describe("", b""), _nothing)
        try:
            url, _ = self._options.patience.insist(upload.opened)
        except RegistryError as error:
            if State(error.state).is_passing:
                raise
            return False
        with suppress(RegistryError):
            request = Ask(
                method="DELETE", url=url, what=str(repository), scopes=upload.target.scopes, writing=True, accept=(204,)
            )
            self._session(repository).ask(request).close()
        return True

    def logged_in(self, repository: Name) -> bool:
        """Whether the registry has asked who we are, and we had an answer."""
        return self._session(repository).logged_in

    def _holder(self, repository: Name, descriptor: Descriptor, others: Collection[Name]) -> Name | None:
        """Which of ``others`` has the blob: looked for first, because a mount that fails leaves an upload open."""
        for other in others:
            if other == repository or registry_of(other) != registry_of(repository):
                continue
            # One that we may not read is none to mount from, and no trouble either.
            with suppress(RegistryError):
                if self.has_blob(other, descriptor):
                    return other
        return None

    def _mount(self, repository: Name, descriptor: Descriptor, other: Name) -> tuple[bool, str | None]:
        """Mount it; if the registry opens an upload instead, the upload's URL."""
        target = self._target(repository)
        what = f"{repository}: {descriptor.digest}"
        request = Ask(
            method="POST",
            url=f"{served_as(repository)}/blobs/uploads/?mount={descriptor.digest}&from={quote(served_as(other))}",
            what=what,
            scopes=(*target.scopes, scope(other, "pull")),
            writing=True,
            headers={"Content-Length": "0"},
            accept=(201, 202),
        )
        try:
            response = target.session.ask(request)
        except RegistryError:
            return False, None
        response.close()
        location = response.header("Location")
        if response.status == 201 or not location:
            return response.status == 201, None
        return False, target.session.elsewhere(response.url, location, what)

    def _upload(self, repository: Name, descriptor: Descriptor, source: BlobSource) -> Upload:
        options = self._options
        return Upload(self._target(repository), descriptor, source, options.patience, options.blob_limit)

    def _target(self, repository: Name) -> Target:
        scopes = (scope(repository, "pull,push"),)
        return Target(
            session=self._session(repository), repository=repository, path=served_as(repository), scopes=scopes
        )

    def _ask(self, request: Ask, repository: Name) -> Response:
        return self._options.patience.insist(lambda: self._session(repository).ask(request))

    def _session(self, repository: Name) -> Session:
        with self._guard:
            if repository not in self._sessions:
                self._sessions[repository] = Session(
                    repository,
                    keychain=self._options.keychain,
                    transport=self._transport,
                    insecure=self._options.insecure,
                )
            return self._sessions[repository]


@contextmanager
def _refusal_suppressed() -> Iterator[None]:
    """A refusal of HEAD has no body: let the reason be asked for in another way. Trouble stays trouble."""
    try:
        yield
    except RegistryError as error:
        if error.state in (State.DOWN, State.RATE_LIMITED, State.TLS):
            raise


@contextmanager
def _nothing() -> Iterator[Readable]:
    yield BytesIO()
