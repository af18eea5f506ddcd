"""Writing an image layer: a directory's changeset as a tar, compressed as it is written. ``unpack`` reads it back.

The same files give the same tar on every machine, hence the same ``diff_id``: no times, users or modes of this machine
enter it, and the order is fixed. The compressed bytes are the same on the same kind of processor with the same release
of ISA-L. Memory is constant, whatever the size.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from msgspec import Struct

from pg_ephemeral.errors import CacheError
from pg_ephemeral.oci.changeset import WHITEOUT, Changeset
from pg_ephemeral.oci.model import OCI_LAYER_GZIP, Descriptor
from pg_ephemeral.oci.reference import Algorithm, Digest
from pg_ephemeral.paths import unusable

__all__ = ["Packed", "Placement", "Writable", "pack"]

#: ISA-L's level 2: some fifteen times as fast as zlib's 6, for about a twentieth more bytes.
_LEVEL = 2
_BLOCK = 1 << 20
_THREADS = 4


class Placement(Struct, frozen=True, kw_only=True):
    """Where in the image a directory lies, ``var/lib/app``, and how: owner, modes, time in seconds since the epoch."""

    prefix: str
    uid: int = 0
    gid: int = 0
    modified: int = 0
    directory_mode: int = 0o700
    file_mode: int = 0o600


class Packed(Struct, frozen=True, kw_only=True):
    """A layer that was written: its descriptor, and the digest of its tar before compression."""

    descriptor: Descriptor
    diff_id: Digest


class Writable(Protocol):
    """What takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take all of them."""


def pack(root: Path, changes: Changeset, target: Writable, placement: Placement) -> Packed:
    """Write the changes, whose files are below ``root``, to ``target`` as a gzipped tar.

    Raises ``CacheError`` when a file cannot be read, or changes while it is.
    """
    from isal import igzip_threaded

    compressed = _Hashed(target)
    threads = min(_THREADS, os.cpu_count() or 1)
    try:
        with igzip_threaded.open(  # type: ignore[no-untyped-call]  # not annotated
            compressed, "wb", _LEVEL, threads=threads, block_size=_BLOCK
        ) as stream:
            plain = _Hashed(stream)
            _write_tar(root, changes, plain, placement)
    except OSError as error:
        raise unusable(root, error) from error
    return Packed(
        descriptor=Descriptor(media_type=OCI_LAYER_GZIP, digest=compressed.digest, size=compressed.size),
        diff_id=plain.digest,
    )


class _Hashed:
    """Passes bytes on, and knows their digest and number."""

    def __init__(self, target: Writable) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    def flush(self) -> None:
        """Whoever gave us the target flushes it."""

    @property
    def digest(self) -> Digest:
        return Digest(algorithm=Algorithm(text="sha256"), hex=self._hash.hexdigest())


def _write_tar(root: Path, changes: Changeset, target: _Hashed, placement: Placement) -> None:
    """Directories first, so that each is there before what is in it; then what is gone, then the files."""
    for parent in reversed(PurePosixPath(placement.prefix).parents[:-1]):
        target.write(_header(str(parent), tarfile.DIRTYPE, 0o755))
    for path in ("", *changes.directories):
        target.write(_entry(path, tarfile.DIRTYPE, placement))
    for path in changes.removed:
        above, _, name = path.rpartition("/")
        target.write(_entry(f"{above}/{WHITEOUT}{name}" if above else WHITEOUT + name, tarfile.REGTYPE, placement))
    for path in changes.files:
        _write_file(root / path, path, target, placement)
    end = 2 * tarfile.BLOCKSIZE
    target.write(bytes(end + -(target.size + end) % tarfile.RECORDSIZE))


def _write_file(source: Path, path: str, target: _Hashed, placement: Placement) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        target.write(_entry(path, tarfile.REGTYPE, placement, size=size))
        left = size
        while left and (piece := os.read(descriptor, min(_BLOCK, left))):
            target.write(piece)
            left -= len(piece)
        if left:
            raise CacheError(f"{source} became shorter while it was read", hint="nothing may write to a sealed stage")
    finally:
        os.close(descriptor)
    target.write(bytes(-size % tarfile.BLOCKSIZE))


def _entry(path: str, kind: bytes, placement: Placement, *, size: int = 0) -> bytes:
    mode = placement.directory_mode if kind == tarfile.DIRTYPE else placement.file_mode
    name = f"{placement.prefix}/{path}" if path else placement.prefix
    return _header(name, kind, mode, placement=placement, size=size)


def _header(name: str, kind: bytes, mode: int, *, placement: Placement | None = None, size: int = 0) -> bytes:
    entry = tarfile.TarInfo(name + "/" if kind == tarfile.DIRTYPE else name)
    entry.type, entry.mode, entry.size = kind, mode, size
    if placement is not None:
        entry.uid, entry.gid, entry.mtime = placement.uid, placement.gid, placement.modified
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
