"""``csv-file``: a CSV file with a header into a table, by COPY, streamed.

The header is read by CSV's own rules (RFC 4180, quotes included) and becomes the column list, so columns may come in
any order and omitted ones take their defaults. Text in another encoding is sent as UTF-8.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pg_ephemeral.errors import ClientError, InvalidValue, SeedFailed, SeedLoadError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.names import identifier, quote_identifier, quote_literal
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, SeedName, Target
from pg_ephemeral.seeds.strategies import unreadable

_CHUNK = 1 << 18

#: How PostgreSQL names Windows code pages.
_WINDOWS = re.compile(r"WIN(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """A file and its table. ``null`` is the unquoted text that means NULL; ``encoding`` is one Python or PostgreSQL
    knows by name. ``delimiter`` and ``quote`` are one character each.
    """

    name: SeedName
    path: Path
    table: str
    schema: str = "public"
    delimiter: str = ","
    null: str = ""
    quote: str = '"'
    encoding: str = "utf-8"
    kind: str = field(default="csv-file", init=False)

    def __post_init__(self) -> None:
        """Check names and characters."""
        identifier(self.schema, what="schema")
        identifier(self.table, what="table")
        for what, character in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(character.encode()) != 1 or character in "\r\n\0":
                raise InvalidValue(f"{what} {character!r} is not one ASCII character", kind=f"invalid-{what}")
        if self.delimiter == self.quote:
            raise InvalidValue("delimiter and quote are the same character", kind="invalid-delimiter")
        if "\n" in self.null or "\r" in self.null:
            raise InvalidValue("null must not contain a line end", kind="invalid-null")
        codec(self.encoding)

    def load(self, context: LoadContext) -> LoadedSeed:
        """Read the header, and hash the file. Raises ``SeedLoadError`` naming file and column."""
        path = context.directory / self.path
        try:
            columns = self._columns(path)
            digest = _digest(path)
        except OSError as error:
            raise unreadable(self.name, path, error) from error
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from error
        except csv.Error as error:
            raise SeedLoadError(f"seed {self.name!r}: {self.path}:1: {error}", seed=self.name) from error
        inputs = {
            "csv": digest,
            "schema": self.schema,
            "table": self.table,
            "delimiter": self.delimiter,
            "null": self.null,
            "quote": self.quote,
            "encoding": codec(self.encoding).name,
        }
        return LoadedCsv(
            seed=self, path=path, columns=columns, digest=digest, inputs=inputs if context.cacheable else None
        )

    def describe(self) -> Mapping[str, object]:
        """Where the rows go."""
        return {"schema": self.schema, "table": self.table}

    def _columns(self, path: Path) -> tuple[str, ...]:
        with path.open(encoding=text_encoding(self.encoding), newline="") as file:
            header = next(csv.reader(file, delimiter=self.delimiter, quotechar=self.quote, strict=True), None)
        if not header:
            raise SeedLoadError(f"seed {self.name!r}: {self.path}:1: there is no header line", seed=self.name)
        for column in header:
            if not column:
                raise SeedLoadError(f"seed {self.name!r}: {self.path}:1: a column has no name", seed=self.name)
            if header.count(column) > 1:
                raise SeedLoadError(f"seed {self.name!r}: {self.path}:1: column {column!r} comes twice", seed=self.name)
        return tuple(header)

    def _undecodable(self, error: UnicodeDecodeError) -> SeedLoadError:
        return SeedLoadError(
            f"seed {self.name!r}: {self.path} is not {self.encoding}: {error.reason} at byte {error.start}",
            seed=self.name,
            hint="give its encoding, as in encoding = 'latin1'",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCsv:
    """The columns of the header, and the digest the content must still have."""

    seed: CsvFile
    path: Path
    columns: tuple[str, ...]
    digest: str
    inputs: Inputs | None
    key_kind: str = "csv-file"
    needs_build: bool = False

    def apply(self, target: Target) -> None:
        """COPY the file. The server's error is given with the file's line where it names one."""
        seed = self.seed
        try:
            with client.connect(target.conninfo) as connection:
                connection.copy_in(self.statement, self._chunks())
        except ClientError as error:
            line = re.search(r"^CONTEXT: COPY .*?, line (\d+)", error.detail or "", re.MULTILINE)
            place = f"{seed.path}:{line[1]}" if line else str(seed.path)
            raise SeedFailed(
                f"seed {seed.name!r}: {place}: {error.message}", seed=seed.name, detail=error.detail
            ) from error
        except OSError as error:
            raise unreadable(seed.name, self.path, error) from error
        except UnicodeDecodeError as error:
            raise seed._undecodable(error) from error  # noqa: SLF001 -- the two are one module's halves

    @property
    def statement(self) -> str:
        """The COPY statement (PostgreSQL manual, COPY)."""
        seed = self.seed
        options = {
            "DELIMITER": seed.delimiter,
            "NULL": seed.null,
            "QUOTE": seed.quote,
            "ESCAPE": seed.quote,
            "ENCODING": "UTF8",
        }
        columns = ", ".join(map(quote_identifier, self.columns))
        rendered = ", ".join(f"{name} {quote_literal(value)}" for name, value in options.items())
        table = f"{quote_identifier(seed.schema)}.{quote_identifier(seed.table)}"
        return f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, HEADER true, {rendered})"

    def _chunks(self) -> Iterator[bytes]:
        """The content in UTF-8 without its byte order mark. Fails, and so undoes the COPY, if it changed since."""
        hasher = hashlib.sha256()
        decoder = codecs.getincrementaldecoder(text_encoding(self.seed.encoding))()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                yield decoder.decode(chunk).encode()
            yield decoder.decode(b"", final=True).encode()
        if hasher.hexdigest() != self.digest:
            raise SeedFailed(
                f"seed {self.seed.name!r}: {self.seed.path} changed while it was being loaded",
                seed=self.seed.name,
                hint="run the command again",
            )


def codec(encoding: str) -> codecs.CodecInfo:
    """The codec of an encoding's name. Raises ``InvalidValue`` of kind ``invalid-encoding``."""
    try:
        return codecs.lookup(_WINDOWS.sub(r"cp\1", encoding))
    except LookupError:
        raise InvalidValue(
            f"there is no encoding {encoding!r}", kind="invalid-encoding", hint="as in utf-8, latin1, win1252, utf-16"
        ) from None


def text_encoding(encoding: str) -> str:
    """The codec to read with: that of UTF-8 drops a byte order mark."""
    name = codec(encoding).name
    return "utf-8-sig" if name == "utf-8" else name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
