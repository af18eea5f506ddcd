"""Images in a directory: the OCI image layout, version 1.0.0 of the image specification, section "Image Layout".

::

    <directory>/oci-layout            the layout's version
    <directory>/index.json            the manifests, each with its tag as an annotation
    <directory>/blobs/<algorithm>/…   everything else, by digest
    <directory>/ingest/…              blobs being written

Any number of processes may use one layout at once. A layout holds one repository: the name in a reference is not looked
at. ``skopeo inspect oci:<directory>:<tag>`` reads it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pg_ephemeral.errors import CacheError, InvalidValue
from pg_ephemeral.lock import exclusive, try_lock
from pg_ephemeral.oci.model import INDEX_TYPES, MANIFEST_TYPES, OCI_MANIFEST, Descriptor, Index, canonical, describe
from pg_ephemeral.oci.reference import Digest, Name, Reference
from pg_ephemeral.oci.store import METADATA_LIMIT, BlobSource, Content, Readable
from pg_ephemeral.oci.verify import Verified, check
from pg_ephemeral.paths import ensure_directory, unusable

__all__ = ["Layout"]

_VERSION = {"imageLayoutVersion": "1.0.0"}
_TAG = "org.opencontainers.image.ref.name"
_PIECE = 1 << 20
#: A file this old, in seconds, and without a lock was left by a process that was killed.
_ABANDONED = 60.0


class Layout:
    """A content store in a directory, which is made when something is first kept in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def resolve(self, reference: Reference) -> Descriptor | None:
        """Describe what the tag or the digest names; None when it is not here."""
        if reference.digest is None:
            return self._tagged(str(reference.tag))
        content = self._metadata(reference.digest)
        return None if content is None else content.descriptor

    def manifest(self, reference: Reference) -> Content | None:
        """Give the manifest or index, checked; None when it is not here."""
        named = self.resolve(reference)
        content = None if named is None else self._metadata(named.digest)
        if content is not None:
            check(content.data, content.descriptor, str(self.directory))
        return content

    def has_blob(self, repository: Name, descriptor: Descriptor) -> bool:  # noqa: ARG002 -- one repository is all of it
        """Whether a blob of this digest and size is here."""
        try:
            return self._blob(descriptor.digest).stat().st_size == descriptor.size
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unusable(self.directory, error) from error

    @contextmanager
    def open_blob(self, repository: Name, descriptor: Descriptor) -> Iterator[Readable]:  # noqa: ARG002 -- as above
        """Read a blob, checked on the way. Raises ``CacheError`` when it is not here."""
        try:
            blob = self._blob(descriptor.digest).open("rb", buffering=0)
        except OSError as error:
            raise unusable(self.directory, error) from error
        with blob:
            yield Verified(blob, descriptor, str(self.directory))

    def put_blob(
        self,
        repository: Name,
        descriptor: Descriptor,
        source: BlobSource,
        *,
        mount_from: Collection[Name] = (),  # noqa: ARG002 -- one repository has nothing to mount from
    ) -> bool:
        """Write beside, check, rename; False when it was here already."""
        if self.has_blob(repository, descriptor):
            return False
        self._begin()
        with source() as readable, self._ingest(descriptor.digest) as (path, file):
            verified = Verified(readable, descriptor, "what was to be kept")
            while piece := verified.read(_PIECE):
                _write(file, piece)
            path.rename(self._blob(descriptor.digest))
        return True

    def put_manifest(self, reference: Reference, media_type: str, data: bytes) -> Descriptor:
        """Keep a manifest, and let the tag name it from now on."""
        descriptor = describe(media_type, data)
        if reference.digest is not None:
            check(data, Descriptor(media_type=media_type, digest=reference.digest, size=len(data)), "the manifest")
        self._begin()
        with self._ingest(descriptor.digest) as (path, file):
            _write(file, data)
            path.rename(self._blob(descriptor.digest))
        if reference.tag is not None:
            self._name(str(reference.tag), descriptor)
        return descriptor

    def _tagged(self, tag: str) -> Descriptor | None:
        found = [one for one in self._index().manifests if one.annotations.get(_TAG) == tag]
        if not found:
            return None
        return Descriptor(media_type=found[-1].media_type, digest=found[-1].digest, size=found[-1].size)

    def _metadata(self, digest: Digest) -> Content | None:
        """A manifest or index out of a blob, which says itself what it is."""
        try:
            with self._blob(digest).open("rb") as blob:
                data = blob.read(METADATA_LIMIT + 1)
            media_type = json.loads(data).get("mediaType", OCI_MANIFEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(self.directory, error) from error
        except (ValueError, AttributeError):
            return None
        if media_type not in (*MANIFEST_TYPES, *INDEX_TYPES):
            return None
        return Content(descriptor=Descriptor(media_type=media_type, digest=digest, size=len(data)), data=data)

    def _index(self) -> Index:
        path = self.directory / "index.json"
        try:
            return Index.parse(path.read_bytes())
        except FileNotFoundError:
            return Index(manifests=())
        except OSError as error:
            raise unusable(path, error) from error
        except InvalidValue as error:
            raise CacheError(f"{path} is damaged: {error.message}", hint="export into a new directory") from error

    def _name(self, tag: str, descriptor: Descriptor) -> None:
        """Point the tag at the manifest; everything else in the index stays as it is."""
        named = Descriptor(
            media_type=descriptor.media_type,
            digest=descriptor.digest,
            size=descriptor.size,
            annotations={_TAG: tag},
        )
        with exclusive(self.directory / "ingest" / "index.lock"):
            before = self._index()
            others = tuple(one for one in before.manifests if one.annotations.get(_TAG) != tag)
            index = Index(manifests=(*others, named), annotations=before.annotations)
            self._replace("index.json", index.render())

    def _begin(self) -> None:
        """What makes a directory a layout; and whatever a killed process left half written goes."""
        ensure_directory(self.directory / "ingest")
        if not (self.directory / "oci-layout").exists():
            self._replace("oci-layout", canonical(_VERSION))
        for entry in os.scandir(self.directory / "ingest"):
            if entry.name.endswith(".blob"):
                _sweep(entry.path)

    def _replace(self, name: str, data: bytes) -> None:
        beside = self.directory / "ingest" / f"{name}-{secrets.token_hex(6)}"
        try:
            beside.write_bytes(data)
            beside.rename(self.directory / name)
        except OSError as error:
            raise unusable(self.directory, error) from error

    @contextmanager
    def _ingest(self, digest: Digest) -> Iterator[tuple[Path, int]]:
        """A new file beside the blobs, locked while we write; gone afterwards unless it was renamed into place."""
        path = self.directory / "ingest" / f"{secrets.token_hex(8)}.blob"
        try:
            ensure_directory(self._blob(digest).parent)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                try_lock(file)
                yield path, file
            finally:
                path.unlink(missing_ok=True)
                os.close(file)
        except OSError as error:
            raise unusable(self.directory, error) from error

    def _blob(self, digest: Digest) -> Path:
        return self.directory / "blobs" / str(digest.algorithm) / digest.hex


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sweep(path: str) -> None:
    """Remove a file that nobody has locked, and that is too old to be just waiting for its maker's lock."""
    with suppress(OSError):
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if time.time() - os.fstat(file).st_mtime > _ABANDONED and try_lock(file):
                Path(path).unlink(missing_ok=True)
        finally:
            os.close(file)
