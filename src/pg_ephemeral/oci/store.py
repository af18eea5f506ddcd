"""Where images are kept: the protocol of registries, layouts and stage stores, and copying from one to another.

A blob is content by digest in a repository; a manifest is content that is also known by a tag. Absence is ``None`` or
``False``; trouble is ``RegistryError`` (its ``state`` says which), or ``CacheError`` of a store on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue, RegistryError
from pg_ephemeral.oci.model import INDEX_TYPES, Descriptor, ImageConfig, Index, Manifest, Platform
from pg_ephemeral.oci.reference import Name, Reference
from pg_ephemeral.oci.state import State

__all__ = [
    "METADATA_LIMIT",
    "BlobSource",
    "Content",
    "ContentStore",
    "Copied",
    "Readable",
    "StoredImage",
    "TransferProgress",
    "copy",
    "find_image",
    "read_all",
]

#: The most bytes a manifest or a configuration may have; the specification asks registries for as much.
METADATA_LIMIT = 4 * 1024 * 1024

_PIECE = 256 * 1024


class Readable(Protocol):
    """Bytes to be read once, from the start to the end."""

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes (below 0: all that is left), and none at the end."""


#: Opens a blob at its start; called again when a transfer has to start over.
BlobSource = Callable[[], AbstractContextManager[Readable]]

#: Told how many bytes of how many were transferred, from any thread, one call at a time. May go back after a retry.
TransferProgress = Callable[[int, int], None]


class Content(Struct, frozen=True, kw_only=True):
    """A manifest's or an index's bytes, which its descriptor describes."""

    descriptor: Descriptor
    data: bytes


class ContentStore(Protocol):
    """Keeps blobs by repository and digest, and manifests by reference; its methods may be called from any thread.

    A reference with a digest means the content of that digest, else the one of its tag.
    """

    def resolve(self, reference: Reference) -> Descriptor | None:
        """Describe what ``reference`` names; None when there is no such manifest, or no such repository."""

    def manifest(self, reference: Reference) -> Content | None:
        """Give the manifest or index that ``reference`` names, checked against its digest; None as in ``resolve``."""

    def has_blob(self, repository: Name, descriptor: Descriptor) -> bool:
        """Whether the blob is there."""

    def open_blob(self, repository: Name, descriptor: Descriptor) -> AbstractContextManager[Readable]:
        """Open a blob for reading. Size and digest are checked on the way: who has read the whole has the right one.

        The error, ``RegistryError`` with the state ``corrupt``, comes before the last piece is handed out.
        """

    def put_blob(
        self, repository: Name, descriptor: Descriptor, source: BlobSource, *, mount_from: Collection[Name] = ()
    ) -> bool:
        """Keep a blob; False when no byte had to be copied, because it was there, or in one of ``mount_from``.

        What ``source`` gives is checked against the descriptor; what does not fit is not kept.
        """

    def put_manifest(self, reference: Reference, media_type: str, data: bytes) -> Descriptor:
        """Keep a manifest whose blobs are there, and let the tag of ``reference``, if any, name it from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image for one platform, as a store has it: its manifest, as bytes and read, and its configuration."""

    reference: Reference
    content: Content
    manifest: Manifest
    config: ImageConfig


class Copied(Struct, frozen=True, kw_only=True):
    """What ``copy`` did: the manifest, the blobs whose bytes travelled, and those that did not have to."""

    descriptor: Descriptor
    sent: tuple[Descriptor, ...]
    skipped: tuple[Descriptor, ...]

    @property
    def sent_bytes(self) -> int:
        """How many bytes of blobs travelled."""
        return sum(blob.size for blob in self.sent)


def find_image(store: ContentStore, reference: Reference, platform: Platform) -> StoredImage | None:
    """Read an image's manifest and configuration, and no layer; from an index, the one for ``platform``.

    None when the reference names nothing. An image that is not in an index is given whatever it is for: its ``config``
    tells. Raises ``RegistryError`` with the state ``corrupt`` for what cannot be read, for an index without this
    platform, and for what is gone although the index names it.
    """
    content = store.manifest(reference)
    if content is None:
        return None
    with _readable(reference):
        if content.descriptor.media_type in INDEX_TYPES:
            chosen = Index.parse(content.data).choose(platform)
            if chosen is None:
                raise RegistryError(
                    f"{reference}: it has nothing for {platform}",
                    state=State.CORRUPT,
                    hint="something else was pushed under its tag",
                )
            content = store.manifest(Reference(name=reference.name, digest=chosen.digest))
            if content is None:
                raise _corrupt(reference, f"its manifest {chosen.digest} for {platform} is gone")
        manifest = Manifest.parse(content.data)
        if manifest.config.size > METADATA_LIMIT:
            raise _corrupt(reference, f"its configuration has {manifest.config.size} bytes")
        with store.open_blob(reference.name, manifest.config) as blob:
            config = ImageConfig.parse(read_all(blob))
        if len(config.diff_ids) != len(manifest.layers):
            raise _corrupt(reference, f"{len(manifest.layers)} layers, {len(config.diff_ids)} in its configuration")
    return StoredImage(reference=reference, content=content, manifest=manifest, config=config)


def copy(
    image: StoredImage,
    source: ContentStore,
    target: ContentStore,
    *,
    to: Reference | None = None,
    mount_from: Collection[Name] = (),
    progress: TransferProgress | None = None,
    jobs: int = 4,
) -> Copied:
    """Copy an image that ``find_image`` found in ``source``; under its own reference, or ``to``.

    Up to ``jobs`` blobs travel at a time, and none that the target has. The manifest comes last, so that its reference
    names a whole image or nothing. The first failure ends it, and what is on its way.
    """
    reference = to or image.reference
    blobs = image.manifest.blobs
    count = _Count(sum(blob.size for blob in blobs), progress)

    def transfer(blob: Descriptor) -> bool:
        def opened() -> AbstractContextManager[Readable]:
            return count.counted(blob, source.open_blob(image.reference.name, blob))

        travelled = target.put_blob(reference.name, blob, opened, mount_from=mount_from)
        count.finished(blob)
        return travelled

    sent = _all(transfer, blobs, jobs, stop=count.stop)
    descriptor = target.put_manifest(reference, image.content.descriptor.media_type, image.content.data)
    return Copied(
        descriptor=descriptor,
        sent=tuple(blob for blob, travelled in zip(blobs, sent, strict=True) if travelled),
        skipped=tuple(blob for blob, travelled in zip(blobs, sent, strict=True) if not travelled),
    )


def read_all(blob: Readable) -> bytes:
    """Read what is left of a small blob."""
    return b"".join(iter(lambda: blob.read(_PIECE), b""))


def _all(
    work: Callable[[Descriptor], bool], blobs: Collection[Descriptor], jobs: int, *, stop: Callable[[], None]
) -> list[bool]:
    """Do ``work`` for each, ``jobs`` at a time; after a failure, or an interrupt, ``stop`` ends what was begun."""
    from concurrent.futures import FIRST_EXCEPTION, wait

    from pg_ephemeral.oci.jobs import Jobs

    with Jobs(max(1, jobs), "blob") as pool:
        futures = [pool.submit(partial(work, blob)) for blob in blobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop()
            raise
        return [future.result() for future in futures]


class _StoppedError(Exception):
    """Another blob failed, and this one is not needed any more."""


class _Count:
    """Adds up what was read of each blob, and tells it."""

    def __init__(self, total: int, progress: TransferProgress | None) -> None:
        self._total = total
        self._progress = progress
        self._done: dict[str, int] = {}
        self._guard = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    @contextmanager
    def counted(self, blob: Descriptor, opened: AbstractContextManager[Readable]) -> Iterator[Readable]:
        with opened as readable:
            self._set(blob, 0)
            yield _Counted(readable, lambda size: self._set(blob, size))

    def finished(self, blob: Descriptor) -> None:
        self._set(blob, blob.size)

    def _set(self, blob: Descriptor, size: int) -> None:
        if self._stopped:
            raise _StoppedError
        if self._progress is None:
            return
        with self._guard:
            self._done[str(blob.digest)] = size
            self._progress(sum(self._done.values()), self._total)


class _Counted:
    def __init__(self, readable: Readable, tell: Callable[[int], None]) -> None:
        self._readable = readable
        self._tell = tell
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._readable.read(size)
        if piece:
            self._size += len(piece)
            self._tell(self._size)
        return piece


@contextmanager
def _readable(reference: Reference) -> Iterator[None]:
    try:
        yield
    except InvalidValue as error:
        raise _corrupt(reference, error.message) from error


def _corrupt(reference: Reference, what: str) -> RegistryError:
    return RegistryError(
        f"{reference} is damaged: {what}", state=State.CORRUPT, hint="push it again with --force, or delete it there"
    )
