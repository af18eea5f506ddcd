"""Reading an image layer into a directory. Whoever made the layer is not trusted: nothing is written outside of it.

Accepted are gzip (of any number of members), zstd and plain tar, told apart by their first bytes; in the tar,
directories, regular files, hard links within the directory, and whiteouts. Everything else is refused by name:
absolute paths and ``..``, anything beside the directory, symbolic links, devices, set-user-ID files, names that no file
system takes. Owners, modes and times of the layer are not taken over. Memory is constant, whatever the size, but for
the names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from msgspec import Struct

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.changeset import WHITEOUT
from pg_ephemeral.oci.decompress import decompressed
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.reference import Algorithm, Digest
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import Readable
from pg_ephemeral.paths import unusable

__all__ = ["Destination", "unpack"]

_OPAQUE = ".wh..wh..opq"
_RESERVED = ".wh..wh."
_PIECE = 1 << 20
_HOLE = 1 << 16
_ZEROS = bytes(_HOLE)
_NAME_LIMIT = 255
_PATH_LIMIT = 1024
_DEPTH_LIMIT = 64
_ENTRY_LIMIT = 1_000_000
#: No header, extended or not, is read that is longer than this, in bytes.
_HEADER_LIMIT = 1 << 20


class Destination(Struct, frozen=True, kw_only=True):
    """The directory that a layer is applied to, which exists and holds no links, and where in the image it lies.

    Files are given to ``owner``, a pair of user and group, if that is not us, and get the time ``modified``, in
    nanoseconds since the epoch. Files that are there already may share their content with others: they are replaced,
    and never written to.
    """

    directory: Path
    prefix: str
    modified: int
    owner: tuple[int, int] | None = None


def unpack(source: Readable, layer: Descriptor, destination: Destination, diff_id: Digest) -> None:
    """Apply a layer, whose tar must have the digest ``diff_id``.

    Raises ``RegistryError`` with the state ``corrupt``, naming the layer and the entry, and ``CacheError`` when the
    directory cannot be written. Some of the layer may then be in the directory.
    """
    with decompressed(source, str(layer.digest)) as plain:
        stream = _Forward(plain, layer)
        target = _Target(destination, layer)
        try:
            for entry in _entries(stream, layer):
                target.apply(entry, stream)
            stream.drain()
        except OSError as error:
            raise unusable(destination.directory, error) from error
    if stream.digest != diff_id:
        raise _corrupt(layer, f"its tar has the digest {stream.digest}, and not {diff_id}")


class _Forward:
    """A stream that can be hashed and skipped through; ``tarfile`` takes it for a file."""

    def __init__(self, source: Readable, layer: Descriptor) -> None:
        self._source = source
        self._layer = layer
        self._hash = hashlib.sha256()
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        while self._position < position and self.piece(position - self._position):
            pass

    def read(self, size: int) -> bytes:
        if size > _HEADER_LIMIT:
            raise _corrupt(self._layer, f"a header of {size} bytes")
        pieces = []
        while size and (piece := self.piece(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def piece(self, limit: int) -> bytes:
        piece = self._source.read(min(limit, _PIECE))
        self._hash.update(piece)
        self._position += len(piece)
        return piece

    def drain(self) -> None:
        while self.piece(_PIECE):
            pass

    @property
    def digest(self) -> Digest:
        return Digest(algorithm=Algorithm(text="sha256"), hex=self._hash.hexdigest())


def _entries(stream: _Forward, layer: Descriptor) -> Iterator[tarfile.TarInfo]:
    with _tar_errors(layer):
        archive = tarfile.TarFile(fileobj=stream, mode="r")  # type: ignore[arg-type]  # it reads, tells and seeks
    count = 0
    while True:
        with _tar_errors(layer):
            entry = archive.next()
        if entry is None:
            return
        archive.members.clear()  # type: ignore[attr-defined]  # not in its stubs; it would keep all of them
        count += 1
        if count > _ENTRY_LIMIT:
            raise _corrupt(layer, f"more than {_ENTRY_LIMIT} entries")
        yield entry


@contextmanager
def _tar_errors(layer: Descriptor) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise _corrupt(layer, f"not a tar: {error}") from error


class _Target:
    """The directory, and which of its paths this layer put there: a whiteout is about what lies below the layer."""

    def __init__(self, destination: Destination, layer: Descriptor) -> None:
        self._destination = destination
        self._layer = layer
        self._prefix = PurePosixPath(destination.prefix).parts
        self._ours: set[str] = set()

    def apply(self, entry: tarfile.TarInfo, stream: _Forward) -> None:
        path = self._inside(entry.name, entry)
        if path is None:
            if not entry.isdir():
                raise self._refused(entry, f"outside of {self._destination.prefix}")
            return
        above, _, name = path.rpartition("/")
        if name.startswith(WHITEOUT):
            self._whiteout(above, name, entry)
        elif entry.isdir():
            self._directory(path)
        elif entry.isreg() and not entry.issparse() and entry.size >= 0:
            self._file(path, entry, stream)
        elif entry.islnk():
            self._link(path, entry)
        else:
            raise self._refused(entry, "neither a file nor a directory")

    def _inside(self, name: str, entry: tarfile.TarInfo) -> str | None:
        """Its path in the directory; None for one of those above, up to the root. The directory itself is ``""``."""
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts:
            raise self._refused(entry, "leads out of the image")
        if (
            "\0" in name
            or len(os.fsencode(name)) > _PATH_LIMIT
            or any(len(os.fsencode(p)) > _NAME_LIMIT for p in parts)
        ):
            raise self._refused(entry, "no name for a file")
        if entry.mode & 0o6000:
            raise self._refused(entry, "set-user-ID or set-group-ID")
        if len(parts) > _DEPTH_LIMIT:
            raise self._refused(entry, f"more than {_DEPTH_LIMIT} directories deep")
        if parts[: len(self._prefix)] == self._prefix:
            return "/".join(parts[len(self._prefix) :])
        if parts == self._prefix[: len(parts)]:
            return None
        raise self._refused(entry, f"outside of {self._destination.prefix}")

    def _whiteout(self, above: str, name: str, entry: tarfile.TarInfo) -> None:
        gone = name.removeprefix(WHITEOUT)
        if name == _OPAQUE:
            with suppress(FileNotFoundError):
                for child in list(self._at(above).iterdir()):
                    self._remove_lower(f"{above}/{child.name}" if above else child.name)
        elif not name.startswith(_RESERVED):
            if gone in ("", ".", ".."):
                raise self._refused(entry, "no name for a file")
            self._remove_lower(f"{above}/{gone}" if above else gone)

    def _directory(self, path: str) -> None:
        if path and not self._is_directory(path):
            self._make_room(path)
            self._at(path).mkdir(mode=0o700)
            if self._destination.owner is not None:
                os.chown(self._at(path), *self._destination.owner)
        self._own(path)

    def _file(self, path: str, entry: tarfile.TarInfo, stream: _Forward) -> None:
        self._make_room(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._at(path), flags, 0o600)
        try:
            self._fill(descriptor, entry, stream)
            if self._destination.owner is not None:
                os.fchown(descriptor, *self._destination.owner)
            os.utime(descriptor, ns=(self._destination.modified, self._destination.modified))
        finally:
            os.close(descriptor)
        self._own(path)

    def _fill(self, descriptor: int, entry: tarfile.TarInfo, stream: _Forward) -> None:
        """Write an entry's bytes, but leave holes for zeros: the write-ahead log is mostly empty."""
        done = 0
        while done < entry.size:
            piece = stream.piece(entry.size - done)
            if not piece:
                raise self._refused(entry, f"ends after {done} of {entry.size} bytes")
            for start in range(0, len(piece), _HOLE):
                part = piece[start : start + _HOLE]
                if part != _ZEROS[: len(part)]:
                    os.pwrite(descriptor, part, done + start)
            done += len(piece)
        os.ftruncate(descriptor, entry.size)

    def _link(self, path: str, entry: tarfile.TarInfo) -> None:
        origin = self._inside(entry.linkname, entry)
        if not origin or origin == path or not self._at(origin).is_file():
            raise self._refused(entry, f"a link to {entry.linkname}, which is not there")
        self._make_room(path)
        os.link(self._at(origin), self._at(path), follow_symlinks=False)
        self._own(path)

    def _make_room(self, path: str) -> None:
        """Make the directories above, and remove what is in the way, without following or writing to it."""
        above = path.rpartition("/")[0]
        if above and not self._is_directory(above):
            self._directory(above)
        if not path:
            raise _corrupt(self._layer, f"{self._destination.prefix} is no directory")
        self._remove(path)

    def _remove_lower(self, path: str) -> None:
        """Remove what a lower layer put there, and keep what this one did."""
        if path not in self._ours:
            self._remove(path)
        elif self._is_directory(path):
            for child in list(self._at(path).iterdir()):
                self._remove_lower(f"{path}/{child.name}")

    def _remove(self, path: str) -> None:
        if self._is_directory(path):
            shutil.rmtree(self._at(path))
        else:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._at(path).unlink()

    def _own(self, path: str) -> None:
        while path and path not in self._ours:
            self._ours.add(path)
            path = path.rpartition("/")[0]

    def _is_directory(self, path: str) -> bool:
        return self._at(path).is_dir()

    def _at(self, path: str) -> Path:
        return self._destination.directory / path

    def _refused(self, entry: tarfile.TarInfo, why: str) -> RegistryError:
        return _corrupt(self._layer, f"{entry.name!r}: {why}")


def _corrupt(layer: Descriptor, what: str) -> RegistryError:
    return RegistryError(
        f"layer {layer.digest}: {what}",
        state=State.CORRUPT,
        hint="it was not made by pg-ephemeral, or was changed since; push the stage again with --force",
    )
