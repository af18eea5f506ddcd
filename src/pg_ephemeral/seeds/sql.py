"""``sql-file`` (also at a git revision) and ``sql-statement``: SQL applied the way psql would.

The text is read twice, once for the key and once to apply it, and must be the same both times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pg_ephemeral.errors import ProcessError, SeedFailed, SeedLoadError
from pg_ephemeral.process import Overdue, status_text
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, Seed, SeedName, Target, check_timeout, overdue
from pg_ephemeral.seeds.git import check_revision, resolve
from pg_ephemeral.seeds.sql_place import FilePlace, GitPlace, Place, TextPlace
from pg_ephemeral.seeds.sql_text import Reading

if TYPE_CHECKING:
    from pg_ephemeral.seeds.psql import Message


class SqlFile(Struct, frozen=True, kw_only=True):
    """A file of SQL for psql, relative to the config file; as it was at ``git_revision``, if that is given."""

    name: SeedName
    path: Path
    git_revision: str | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Check the revision and the timeout."""
        check_timeout(self.timeout)
        if self.git_revision is not None:
            check_revision(self.git_revision)

    @property
    def kind(self) -> str:
        """``sql-file``, or ``sql-file-git-revision``."""
        return "sql-file" if self.git_revision is None else "sql-file-git-revision"

    def load(self, context: LoadContext) -> LoadedSeed:
        """Hash the text with all that it includes. A revision is looked up anew each time; only its content counts."""
        place: Place
        if self.git_revision is None:
            place = FilePlace(path=self.path, directory=context.directory)
        else:
            revision = resolve(self.git_revision, self.path, directory=context.directory, seed=self.name)
            place = GitPlace(path=self.path, revision=revision)
        return _load(self, place, context, key_kind="sql-file")


class SqlStatement(Struct, frozen=True, kw_only=True):
    """SQL text, of any number of statements."""

    name: SeedName
    statement: str
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Check the timeout."""
        check_timeout(self.timeout)

    @property
    def kind(self) -> str:
        """``sql-statement``."""
        return "sql-statement"

    def load(self, context: LoadContext) -> LoadedSeed:
        """Hash the text."""
        place = TextPlace(text=self.statement, directory=context.directory)
        return _load(self, place, context, key_kind="sql-statement")


class LoadedSql(Struct, frozen=True, kw_only=True):
    """Where the text is, and the digests that it and the data it reads must still have when it is applied."""

    seed: Seed
    place: Place
    digest: str
    copies: Mapping[str, str]
    inputs: Inputs | None
    key_kind: str
    needs_build: bool = False

    @property
    def reads_files(self) -> bool:
        """Whether there is a ``\\copy … from`` or a ``\\lo_import`` in it."""
        return bool(self.copies)

    def apply(self, target: Target) -> None:
        """Feed it to psql; the first error stops it and fails the seed."""
        from pg_ephemeral.seeds import psql

        reading = self._reading(target)
        try:
            status, message = psql.run(target, self._unchanged(reading), timeout=self.seed.timeout)
        except Overdue as error:
            raise overdue(self.seed) from error
        except (ProcessError, SeedLoadError) as error:
            problem = error.message if isinstance(error, SeedLoadError) else f"seed {self.seed.name!r}: {error.message}"
            raise SeedFailed(problem, seed=self.seed.name, hint=error.hint) from error
        if status != 0:
            raise self._failure(status, message, reading, target)

    def _reading(self, target: Target, *, by_lines: bool = False) -> Reading:
        return Reading(self.place, seed=self.seed.name, directory=target.directory, by_lines=by_lines)

    def _unchanged(self, reading: Reading) -> Iterator[bytes]:
        yield from reading
        if (reading.digest, reading.copies) != (self.digest, self.copies):
            raise SeedFailed(
                f"seed {self.seed.name!r}: {self.place.label} changed while it was being applied",
                seed=self.seed.name,
                hint="run the command again",
            )

    def _failure(self, status: int, message: Message | None, reading: Reading, target: Target) -> SeedFailed:
        name = self.seed.name
        if message is None:
            return SeedFailed(f"seed {name!r}: {self.place.label}: psql failed: {status_text(status)}", seed=name)
        line = self._data_line(message, target) if message.is_copy else message.error_line
        place = self.place.label if line is None else "{}:{}".format(*reading.origin(line))
        return SeedFailed(
            f"seed {name!r}: {place}: {message.summary}", seed=name, hint=message.hint, detail=message.detail
        )

    def _data_line(self, message: Message, target: Target) -> int | None:
        """The line of the whole at which inline data is wrong. psql has told that of the data's end."""
        if message.line is None:
            return None
        reading = self._reading(target, by_lines=True)
        for _ in reading:
            pass
        begin = reading.data_before(message.line)
        return message.error_line if begin is None else begin + (message.copy_line or 0)


def _load(seed: Seed, place: Place, context: LoadContext, *, key_kind: str) -> LoadedSeed:
    reading = Reading(place, seed=seed.name, directory=context.directory)
    for _ in reading:
        pass
    inputs: dict[str, object] = {"sql": reading.digest}
    if reading.copies:
        inputs["copies"] = reading.copies
    return LoadedSql(
        seed=seed,
        place=place,
        digest=reading.digest,
        copies=reading.copies,
        inputs=inputs if context.cacheable else None,
        key_kind=key_kind,
    )
