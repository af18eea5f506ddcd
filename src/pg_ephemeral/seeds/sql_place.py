"""Where SQL text is read from: a file, a file at a git revision, or the configuration itself. No SQL is known here."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Final, Protocol, cast

from msgspec import Struct

from pg_ephemeral.errors import SeedLoadError
from pg_ephemeral.seeds.git import Revision

_GZIP: Final = b"\x1f\x8b"

_RESTORE: Final = "restore it with pg_restore in a script seed, or dump it again with --format=plain"
_GZIP_ONLY: Final = "only gzip is read: decompress it, or compress it with gzip"
_SAVE_AS_UTF_8: Final = "save it as UTF-8"
#: By how a file begins: what it is, and what to do about it. psql would try to run any of them.
_NOT_SQL: Final = {
    b"PGDMP": ("a dump in pg_dump's custom format", _RESTORE),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", _GZIP_ONLY),
    b"BZh": ("compressed with bzip2", _GZIP_ONLY),
    b"\xfd7zXZ": ("compressed with xz", _GZIP_ONLY),
    b"\xff\xfe": ("text in UTF-16", _SAVE_AS_UTF_8),
    b"\xfe\xff": ("text in UTF-16", _SAVE_AS_UTF_8),
}


class Place(Protocol):
    """Where a text is read from."""

    @property
    def label(self) -> str:
        """What errors call it."""
        ...

    @property
    def identity(self) -> str:
        """The same for two places that are one."""
        ...

    def open(self) -> IO[bytes]:
        """Its content, decompressed. Raises ``OSError`` or ``SeedLoadError``."""
        ...

    def include(self, name: str, *, relative: bool) -> Place:
        """What ``\\i name`` in it means; with ``relative``, ``\\ir name``."""
        ...


class FilePlace(Struct, frozen=True, kw_only=True):
    """A file; ``path`` is relative to ``directory``, the config file's."""

    path: Path
    directory: Path

    @property
    def label(self) -> str:
        """Its path, relative to the config file's directory if it is below."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """The absolute path."""
        return str(self.directory / self.path)

    def open(self) -> IO[bytes]:
        """Open it, for decompression if it is compressed."""
        path = self.directory / self.path
        file = path.open("rb")
        if file.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
            return file
        file.close()
        import gzip

        return cast("IO[bytes]", gzip.open(path))

    def include(self, name: str, *, relative: bool) -> Place:
        """A file beside this one, or relative to the config file."""
        return FilePlace(path=_joined(self.path.parent if relative else Path(), name), directory=self.directory)


class GitPlace(Struct, frozen=True, kw_only=True):
    """A file at a git revision; what it includes is taken from there, too."""

    path: Path
    revision: Revision

    @property
    def label(self) -> str:
        """Revision and path, as git writes them."""
        return f"{self.revision.text}:{self.path}"

    @property
    def identity(self) -> str:
        """Commit and path."""
        return f"{self.revision.commit}:{self.path}"

    def open(self) -> IO[bytes]:
        """Read it from the repository."""
        content = self.revision.read(self.path)
        if not content.startswith(_GZIP):
            return io.BytesIO(content)
        import gzip

        return io.BytesIO(gzip.decompress(content))

    def include(self, name: str, *, relative: bool) -> Place:
        """As a file's, at the same revision."""
        return GitPlace(path=_joined(self.path.parent if relative else Path(), name), revision=self.revision)


class TextPlace(Struct, frozen=True, kw_only=True):
    """A text of the configuration itself."""

    text: str
    directory: Path
    label: str = "statement"

    @property
    def identity(self) -> str:
        """Nothing can include it."""
        return ""

    def open(self) -> IO[bytes]:
        """Its bytes."""
        return io.BytesIO(self.text.encode())

    def include(self, name: str, *, relative: bool) -> Place:  # noqa: ARG002 -- both mean the same here
        """A file, relative to the config file."""
        return FilePlace(path=_joined(Path(), name), directory=self.directory)


def check_format(place: Place, beginning: bytes, *, seed: str) -> None:
    """Refuse what is no SQL text by how it begins. Raises ``SeedLoadError``."""
    for signature, (what, hint) in _NOT_SQL.items():
        if beginning.startswith(signature):
            raise SeedLoadError(f"seed {seed!r}: {place.label} is {what}, not SQL text", seed=seed, hint=hint)


def _joined(parent: Path, name: str) -> Path:
    """As psql joins paths: ``~`` is a home directory, and dots are taken out of the text."""
    return Path(os.path.normpath(parent / Path(name).expanduser()))
