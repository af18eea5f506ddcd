"""SQL text as psql will be fed it: files with their includes put in place, in one pass and in constant memory.

``\\i`` and ``\\ir`` are replaced by what they include, so that included text enters the key and is found wherever psql
runs; the file that a ``\\copy … from`` or a ``\\lo_import`` reads enters the key too. Each line remembers where it came
from.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from pg_ephemeral.errors import SeedLoadError
from pg_ephemeral.seeds.sql_place import Place, check_format
from pg_ephemeral.seeds.strategies import file_digest

if TYPE_CHECKING:
    from pg_ephemeral.seeds.sql_scan import DataFile, Include, Scanner

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CHUNK: Final = 1 << 18

#: A text in which this is nowhere needs no look at its lines. A match across two chunks is found by the overlap.
_READS_FILES: Final = re.compile(rb"\\(?:i|ir|include|include_relative|copy|lo_import)[\s\\]")
_OVERLAP: Final = 20


class Reading:
    """One pass over a place: iterate over it for the text, then ask what it hashes to and where lines came from.

    With ``by_lines`` every line is looked at even where no command of the text reads a file.
    """

    def __init__(self, place: Place, *, seed: str, directory: Path, by_lines: bool = False) -> None:
        #: Files that psql reads as data, as they are named there, with their digests.
        self.copies: dict[str, str] = {}
        self._place = place
        self._seed = seed
        self._directory = directory
        self._by_lines = by_lines
        self._hasher = hashlib.sha256()
        self._line = 0
        self._unended = False
        self._starts: list[int] = []
        self._origins: list[tuple[str, int]] = []
        self._data_starts: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        scanned = self._by_lines or self._reads_files()
        for piece in self._lines(self._place) if scanned else self._chunks():
            self._hasher.update(piece)
            yield piece

    @property
    def digest(self) -> str:
        """The SHA-256 of what was iterated over."""
        return self._hasher.hexdigest()

    def origin(self, line: int) -> tuple[str, int]:
        """The label and line number that line ``line`` of the whole, counted from 1, came from."""
        index = bisect.bisect_right(self._starts, line) - 1
        if index < 0:
            return self._place.label, line
        label, first = self._origins[index]
        return label, first + line - self._starts[index]

    def data_before(self, line: int) -> int | None:
        """The line of the whole that ends the last COPY statement whose inline data begins before ``line``.

        Known only of a text that was read by lines.
        """
        index = bisect.bisect_left(self._data_starts, line) - 1
        return self._data_starts[index] if index >= 0 else None

    def _reads_files(self) -> bool:
        with self._opened(self._place) as file:
            before = b""
            while chunk := file.read(_CHUNK):
                if _READS_FILES.search(before + chunk):
                    return True
                before = chunk[-_OVERLAP:]
        return False

    def _chunks(self) -> Iterator[bytes]:
        with self._opened(self._place) as file:
            yield self._beginning(self._place, file.read(_CHUNK))
            while chunk := file.read(_CHUNK):
                yield chunk

    def _lines(self, place: Place, within: tuple[Place, ...] = (), where: str = "") -> Iterator[bytes]:
        """The lines of a place, which is included from line ``where`` of the last place in ``within``."""
        from pg_ephemeral.seeds.sql_scan import Scanner

        scanner = Scanner()
        with self._opened(place, where) as file:
            self._mark(place, 1)
            for number, raw in enumerate(file, start=1):
                line = self._beginning(place, raw) if number == 1 else raw
                was_data = scanner.in_data
                events = scanner.feed(line)
                if events:
                    yield from self._expanded(line, events, (*within, place), number)
                else:
                    yield self._counted(line)
                if scanner.in_data and not was_data:
                    self._data_starts.append(self._line)
        if within:
            yield from self._ended(place, scanner)

    def _expanded(
        self, line: bytes, events: tuple[Include | DataFile, ...], within: tuple[Place, ...], number: int
    ) -> Iterator[bytes]:
        """A line with commands that read files: what is around an include stays, on lines of its own."""
        from pg_ephemeral.seeds.sql_scan import DataFile

        place, position = within[-1], 0
        where = f"{place.label}:{number}: "
        for event in events:
            if isinstance(event, DataFile):
                self._copied(event, where)
                continue
            if line[position : event.start].strip():
                yield self._counted(line[position : event.start] + b"\n")
            yield from self._lines(self._included(event, within, where), within, where)
            self._mark(place, number)
            position = event.end
        if line[position:].strip():
            yield self._counted(line[position:])
        self._mark(place, number + 1)

    def _ended(self, place: Place, scanner: Scanner) -> Iterator[bytes]:
        """What keeps the end of an included file apart from the text after it, as psql does."""
        if scanner.unclosed:
            raise self._error(f"{place.label}: the file ends within {scanner.unclosed}")
        if self._unended:
            self._unended = False
            yield b"\n"
        ending = scanner.ending
        if ending:
            yield self._counted(ending)

    def _included(self, event: Include, within: tuple[Place, ...], where: str) -> Place:
        if event.file is None:
            raise self._unknown(where)
        if event.inside_statement:
            raise self._error(f"{where}a file is included inside a statement", hint="end the statement before it")
        included = within[-1].include(os.fsdecode(event.file), relative=event.relative)
        if included.identity in {place.identity for place in within}:
            raise self._error(f"{where}{included.label} is included by itself")
        return included

    def _copied(self, event: DataFile, where: str) -> None:
        """psql reads the file itself, in the config file's directory."""
        if event.file is None:
            raise self._unknown(where)
        name = os.fsdecode(event.file)
        path = self._directory / Path(name).expanduser()
        try:
            self.copies[name] = file_digest(path, seed=self._seed)
        except SeedLoadError as error:
            raise self._error(f"{where}cannot read {name}: {_reason(error.__cause__)}") from error

    def _beginning(self, place: Place, first: bytes) -> bytes:
        check_format(place, first, seed=self._seed)
        return first.removeprefix(_BYTE_ORDER_MARK)

    def _counted(self, line: bytes) -> bytes:
        self._line += 1
        self._unended = not line.endswith(b"\n")
        return line

    def _mark(self, place: Place, number: int) -> None:
        """From the next line on, lines come from this place, beginning with its line ``number``."""
        if self._starts and self._starts[-1] == self._line + 1:
            self._starts.pop()
            self._origins.pop()
        self._starts.append(self._line + 1)
        self._origins.append((place.label, number))

    @contextmanager
    def _opened(self, place: Place, where: str = "") -> Iterator[IO[bytes]]:
        try:
            with place.open() as file:
                yield file
        except (OSError, EOFError, zlib.error) as error:
            raise self._error(f"{where}cannot read {place.label}: {_reason(error)}") from error

    def _unknown(self, where: str) -> SeedLoadError:
        return self._error(
            f"{where}only psql can know the name of this file, so that its content cannot enter the key",
            hint="write the name itself, or use a script seed and say what it reads with key-paths",
        )

    def _error(self, message: str, *, hint: str | None = None) -> SeedLoadError:
        return SeedLoadError(f"seed {self._seed!r}: {message}", seed=self._seed, hint=hint)


def _reason(error: BaseException | None) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
