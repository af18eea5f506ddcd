"""``csv-file``: a CSV file with a header into a table, by COPY, streamed.

The header is read by CSV's own rules (RFC 4180, quotes included) and becomes the column list, so columns may come in
any order and omitted ones take their defaults. Text in another encoding is sent as UTF-8.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct

from pg_ephemeral.errors import ClientError, InvalidValue, SeedFailed, SeedLoadError
from pg_ephemeral.postgres.names import identifier, quote_identifier, quote_literal
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, SeedName, Target, check_timeout, overdue
from pg_ephemeral.seeds.encodings import BYTE_ORDER_MARK, UTF_8, codec, python_encoding
from pg_ephemeral.seeds.strategies import file_digest, unreadable

__all__ = ["CsvFile", "LoadedCsv", "codec"]

_CHUNK: Final = 1 << 18

_UNDEFINED_COLUMN: Final = "42703"
_NOT_IN_REPERTOIRE: Final = "22021"
_CANCELLED: Final = "57014"
#: What ``statement_timeout`` can be at most, in milliseconds.
_LONGEST: Final = (1 << 31) - 1
_ENCODING_HINT: Final = "say what encoding the file is in, as in encoding = 'latin1'"


class CsvFile(Struct, frozen=True, kw_only=True):
    """A file, relative to the config file, and its table.

    ``null`` is the unquoted text that means NULL, ``delimiter`` and ``quote`` are one ASCII character each, and
    ``encoding`` is one that PostgreSQL or Python knows by name. Raises ``InvalidValue`` of kind ``invalid-delimiter``,
    ``invalid-quote``, ``invalid-null``, ``invalid-encoding``, and those of ``identifier``.
    """

    name: SeedName
    path: Path
    table: str
    schema: str = "public"
    delimiter: str = ","
    null: str = ""
    quote: str = '"'
    encoding: str = "utf-8"
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Check names and characters by the rules of COPY, and the timeout."""
        check_timeout(self.timeout)
        identifier(self.schema, what="schema")
        identifier(self.table, what="table")
        for what, character in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(character) != 1 or not character.isascii() or character in "\r\n\0":
                raise InvalidValue(f"{what} {character!r} is not one ASCII character", kind=f"invalid-{what}")
        if self.delimiter == self.quote:
            raise InvalidValue("delimiter and quote are the same character", kind="invalid-delimiter")
        if set(self.null) & {self.delimiter, self.quote, "\r", "\n", "\0"}:
            raise InvalidValue(
                f"null {self.null!r} contains the delimiter, the quote, NUL or a line end", kind="invalid-null"
            )
        codec(self.encoding)

    @property
    def kind(self) -> str:
        """``csv-file``."""
        return "csv-file"

    def load(self, context: LoadContext) -> LoadedSeed:
        """Read the header, and hash the file. Raises ``SeedLoadError`` naming file and column."""
        path = context.directory / self.path
        columns = self._columns(path)
        digest = file_digest(path, seed=self.name)
        inputs = {
            "csv": digest,
            "schema": self.schema,
            "table": self.table,
            "delimiter": self.delimiter,
            "null": self.null,
            "quote": self.quote,
            "encoding": python_encoding(self.encoding),
        }
        return LoadedCsv(
            seed=self, path=path, columns=columns, digest=digest, inputs=inputs if context.cacheable else None
        )

    def _columns(self, path: Path) -> tuple[str, ...]:
        """The names in the header. Spaces around a name are dropped: people align their columns."""
        import csv

        try:
            with path.open(encoding=python_encoding(self.encoding), newline="") as file:
                lines = chain((file.readline().removeprefix(BYTE_ORDER_MARK),), file)
                header = next(csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=True), [])
        except OSError as error:
            raise unreadable(self.name, self.path, error) from error
        except UnicodeDecodeError as error:
            line = 1 + error.object[: error.start].count(b"\n")
            raise self._bad_header(f"not {self.encoding}: {error.reason}", line=line, hint=_ENCODING_HINT) from error
        except csv.Error as error:
            raise self._bad_header(str(error)) from error
        columns = tuple(name.strip() for name in header)
        if not columns:
            raise self._bad_header("there is no header", hint="the first line names the columns")
        for column in columns:
            self._check_column(column, columns)
        return columns

    def _check_column(self, column: str, columns: tuple[str, ...]) -> None:
        try:
            identifier(column, what="the name of a column")
        except InvalidValue as error:
            raise self._bad_header(error.message) from error
        if columns.count(column) > 1:
            raise self._bad_header(f"column {column!r} comes twice")

    def _bad_header(self, problem: str, *, line: int = 1, hint: str | None = None) -> SeedLoadError:
        return SeedLoadError(f"seed {self.name!r}: {self.path}:{line}: {problem}", seed=self.name, hint=hint)


class LoadedCsv(Struct, frozen=True, kw_only=True):
    """The columns of the header, and the digest the content must still have."""

    seed: CsvFile
    path: Path
    columns: tuple[str, ...]
    digest: str
    inputs: Inputs | None
    key_kind: str = "csv-file"
    needs_build: bool = False
    reads_files: bool = False

    def apply(self, target: Target) -> None:
        """COPY the file. The server's error is given with the file's line where it names one."""
        from pg_ephemeral.postgres import client
        from pg_ephemeral.seeds.csv_ends import TOLERANT, quoted_ends

        try:
            with client.connect(target.conninfo) as connection:
                connection.execute("SET lc_messages TO 'C'")
                if self.seed.timeout is not None:
                    milliseconds = min(max(1, round(self.seed.timeout * 1000)), _LONGEST)
                    connection.execute(f"SET statement_timeout = {milliseconds}")
                chunks = self._chunks()
                if connection.raw.info.server_version < TOLERANT:
                    chunks = quoted_ends(chunks, quote=self.seed.quote, delimiter=self.seed.delimiter)
                connection.copy_in(self.statement, chunks)
        except ClientError as error:
            if self.seed.timeout is not None and error.sqlstate == _CANCELLED and "timeout" in error.message:
                raise overdue(self.seed) from error
            raise self._refused(error) from error
        except OSError as error:
            raise self._failed(f"cannot read it: {error.strerror or error}") from error

    @property
    def statement(self) -> str:
        """The COPY statement (PostgreSQL manual, COPY), as every major since 13 takes it."""
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
        encoding = python_encoding(self.seed.encoding)
        # What claims to be UTF-8 is the server's to check: it names the line.
        pieces = self._raw() if encoding == UTF_8 else self._decoded(self._raw(), encoding)
        yield next(pieces, b"").removeprefix(codecs.BOM_UTF8)
        yield from pieces

    def _raw(self) -> Iterator[bytes]:
        hasher = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                yield chunk
        if hasher.hexdigest() != self.digest:
            raise self._failed("the file changed while it was being loaded", hint="run the command again")

    def _decoded(self, raw: Iterator[bytes], encoding: str) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(encoding)()
        line = 1
        for chunk in chain(raw, (b"",)):
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                problem = f"not {self.seed.encoding}: {error.reason}"
                raise self._failed(problem, line=line, hint=_ENCODING_HINT) from error
            line += text.count("\n")
            yield text.encode()

    def _refused(self, error: ClientError) -> SeedFailed:
        table = re.escape(self.seed.table)
        found = re.search(rf"^(?:CONTEXT: )?COPY {table}, line (\d+)", error.detail or "", re.MULTILINE)
        line = int(found[1]) if found else 1 if error.sqlstate == _UNDEFINED_COLUMN else None
        hint = _ENCODING_HINT if error.sqlstate == _NOT_IN_REPERTOIRE else None
        return self._failed(error.message, line=line, hint=hint, detail=error.detail)

    def _failed(
        self, problem: str, *, line: int | None = None, hint: str | None = None, detail: str | None = None
    ) -> SeedFailed:
        place = str(self.seed.path) if line is None else f"{self.seed.path}:{line}"
        message = f"seed {self.seed.name!r}: {place}: {problem}"
        return SeedFailed(message, seed=self.seed.name, hint=hint, detail=detail)
