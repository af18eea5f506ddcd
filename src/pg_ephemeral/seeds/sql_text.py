"""SQL text as psql will be fed it: files with their includes put in place, in one pass and in constant memory.

``\\i`` and ``\\ir`` are replaced by what they include, so that included text enters the key and is found wherever psql
runs; the file that a ``\\copy … FROM`` reads enters the key too. Each line remembers where it came from.
"""

from __future__ import annotations

import bisect
import gzip
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from pg_ephemeral.errors import SeedLoadError
from pg_ephemeral.seeds.git import Revision
from pg_ephemeral.seeds.strategies import file_digest, unreadable

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_INCLUDE = re.compile(rb"\s*\\(?P<command>i|include|ir|include_relative)\s+(?P<name>'(?:[^']|'')*'|\S+?)\s*;*\s*")
_COPY_FROM = re.compile(
    rb"\s*\\copy\s.*\bfrom\s+(?!program\b)(?P<name>'(?:[^']|'')*'|\S+).*", re.IGNORECASE | re.DOTALL
)
#: Where inline data begins: the last line of a COPY statement, or psql's own \\copy.
_INLINE = re.compile(
    rb"\s*(?:copy\b.*\bfrom\s+stdin\b.*;|\\copy\s.*\bfrom\s+p?stdin\b.*)\s*", re.IGNORECASE | re.DOTALL
)
_END_OF_DATA = re.compile(rb"\\\.\r?\n?")


class Place(Protocol):
    """Where a text is read from."""

    @property
    def label(self) -> str:
        """What errors call it."""
        ...

    def open(self) -> IO[bytes]:
        """Its content. Raises ``OSError`` or ``SeedLoadError``."""
        ...

    def include(self, name: str, *, relative: bool) -> Place:
        """What ``\\i name`` in it means; with ``relative``, ``\\ir name``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """A file; ``path`` is relative to ``directory``, the config file's. One that ends in ``.gz`` is decompressed."""

    path: Path
    directory: Path

    @property
    def label(self) -> str:
        """Its path as declared."""
        return str(self.path)

    def open(self) -> IO[bytes]:
        """Open it."""
        path = self.directory / self.path
        if path.suffix == ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        return path.open("rb")

    def include(self, name: str, *, relative: bool) -> Place:
        """A file beside this one, or relative to the config file."""
        return FilePlace(path=self.path.parent / name if relative else Path(name), directory=self.directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPlace:
    """A file at a git revision; what it includes is taken from there, too."""

    path: Path
    revision: Revision

    @property
    def label(self) -> str:
        """Revision and path, as git writes them."""
        return f"{self.revision.text}:{self.path}"

    def open(self) -> IO[bytes]:
        """Read it from the repository."""
        return io.BytesIO(self.revision.read(self.path))

    def include(self, name: str, *, relative: bool) -> Place:
        """As a file's, at the same revision."""
        return GitPlace(path=self.path.parent / name if relative else Path(name), revision=self.revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlace:
    """A text of the configuration itself."""

    text: str
    directory: Path
    label: str = "statement"

    def open(self) -> IO[bytes]:
        """Its bytes."""
        return io.BytesIO(self.text.encode())

    def include(self, name: str, *, relative: bool) -> Place:  # noqa: ARG002 -- both mean the same here
        """A file, relative to the config file."""
        return FilePlace(path=Path(name), directory=self.directory)


class Reading:
    """One pass over a place: iterate over it for the lines, then ask where they came from and what they hash to."""

    def __init__(self, place: Place, *, seed: str, directory: Path) -> None:
        #: Files that ``\\copy`` reads, with their digests.
        self.copies: dict[str, str] = {}
        #: The lines, of the whole, after which inline data begins.
        self.data_starts: list[int] = []
        self._place = place
        self._seed = seed
        self._directory = directory
        self._hasher = hashlib.sha256()
        self._line = 0
        self._starts: list[int] = []
        self._origins: list[tuple[str, int]] = []

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines(self._place, ()):
            self._hasher.update(line)
            yield line

    @property
    def digest(self) -> str:
        """The SHA-256 of all lines that were iterated over."""
        return self._hasher.hexdigest()

    def origin(self, line: int) -> tuple[str, int]:
        """The label and line number that line ``line`` of the whole, counted from 1, came from."""
        index = max(bisect.bisect_right(self._starts, line) - 1, 0)
        if not self._starts:
            return self._place.label, line
        label, first = self._origins[index]
        return label, first + line - self._starts[index]

    def _lines(self, place: Place, within: tuple[str, ...]) -> Iterator[bytes]:
        within = (*within, place.label)
        in_data = False
        try:
            with place.open() as file:
                self._mark(place, 1)
                for number, raw in enumerate(file, start=1):
                    line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
                    included = None if in_data else self._included(line, place, number, within)
                    if included is not None:
                        yield from self._lines(included, within)
                        self._mark(place, number + 1)
                        continue
                    self._line += 1
                    # An included file that ends without one must not run into the line after it.
                    yield line if line.endswith(b"\n") else line + b"\n"
                    in_data = self._data_follows(line, in_data=in_data)
        except (OSError, EOFError) as error:
            cause = error if isinstance(error, OSError) else OSError(None, str(error))
            raise unreadable(self._seed, Path(place.label), cause) from error

    def _mark(self, place: Place, number: int) -> None:
        """From the next line on, lines come from this place, beginning with its line ``number``."""
        self._starts.append(self._line + 1)
        self._origins.append((place.label, number))

    def _data_follows(self, line: bytes, *, in_data: bool) -> bool:
        if in_data:
            return not _END_OF_DATA.fullmatch(line)
        if _INLINE.fullmatch(line):
            self.data_starts.append(self._line)
            return True
        return False

    def _included(self, line: bytes, place: Place, number: int, within: tuple[str, ...]) -> Place | None:
        """What this line includes, if it is such a command; takes note of files that it copies from."""
        if b"\\" not in line:
            return None
        where = f"seed {self._seed!r}: {place.label}:{number}"
        include = _INCLUDE.fullmatch(line)
        if include:
            name = self._file_name(include["name"], where)
            included = place.include(name, relative=include["command"] in (b"ir", b"include_relative"))
            if included.label in within:
                raise SeedLoadError(f"{where}: {included.label} includes itself", seed=self._seed)
            return included
        copied = _COPY_FROM.fullmatch(line)
        if copied and copied["name"].lower() not in (b"stdin", b"pstdin"):
            name = self._file_name(copied["name"], where)
            self.copies[name] = file_digest(self._directory / name, seed=self._seed)
        return None

    def _file_name(self, name: bytes, where: str) -> str:
        if name.startswith(b"'"):
            return name[1:-1].replace(b"''", b"'").decode()
        if name.startswith((b":", b"`", b'"')):
            raise SeedLoadError(
                f"{where}: {name.decode(errors='replace')} is not known before psql runs, so it cannot enter the key",
                seed=self._seed,
                hint="write the file's name itself",
            )
        return name.decode()
