"""``sql-file`` (also at a git revision) and ``sql-statement``: SQL applied the way psql would.

The text is read twice, once for the key and once to apply it, and must be the same both times.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pg_ephemeral.errors import ProcessError, SeedFailed
from pg_ephemeral.process import status_text
from pg_ephemeral.seeds import psql
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, Seed, SeedName, Target
from pg_ephemeral.seeds.git import check_revision, resolve
from pg_ephemeral.seeds.sql_text import FilePlace, GitPlace, Place, Reading, TextPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFile:
    """A file of SQL for psql, relative to the config file; as it was at ``git_revision``, if that is given."""

    name: SeedName
    path: Path
    git_revision: str | None = None

    def __post_init__(self) -> None:
        """Check the revision."""
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
            revision = resolve(self.git_revision, context.directory, seed=self.name)
            place = GitPlace(path=self.path, revision=revision)
        return _load(self, place, context, key_kind="sql-file")

    def describe(self) -> Mapping[str, object]:
        """The revision, if there is one."""
        return {} if self.git_revision is None else {"git_revision": self.git_revision}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlStatement:
    """SQL text, of any number of statements."""

    name: SeedName
    statement: str
    kind: str = field(default="sql-statement", init=False)

    def load(self, context: LoadContext) -> LoadedSeed:
        """Hash the text."""
        place = TextPlace(text=self.statement, directory=context.directory)
        return _load(self, place, context, key_kind="sql-statement")

    def describe(self) -> Mapping[str, object]:
        """Nothing of the text."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSql:
    """Where the text is, and the digest it must still have when it is applied."""

    seed: Seed
    place: Place
    digest: str
    inputs: Inputs | None
    key_kind: str
    needs_build: bool = False

    def apply(self, target: Target) -> None:
        """Feed it to psql; the first error stops it and fails the seed."""
        reading = Reading(self.place, seed=self.seed.name, directory=target.directory)
        try:
            status, message = psql.run(target.tool("psql"), self._unchanged(reading))
        except ProcessError as error:
            raise SeedFailed(f"seed {self.seed.name!r}: {error.message}", seed=self.seed.name) from error
        if status != 0:
            raise self._failure(status, message, reading)

    def _unchanged(self, reading: Reading) -> Iterator[bytes]:
        yield from reading
        if reading.digest != self.digest:
            raise SeedFailed(
                f"seed {self.seed.name!r}: {self.place.label} changed while it was being applied",
                seed=self.seed.name,
                hint="run the command again",
            )

    def _failure(self, status: int, message: psql.Message | None, reading: Reading) -> SeedFailed:
        name = self.seed.name
        if message is None:
            return SeedFailed(f"seed {name!r}: {self.place.label}: psql: {status_text(status)}", seed=name)
        line = _line(message, reading)
        place = self.place.label if line is None else "{}:{}".format(*reading.origin(line))
        return SeedFailed(f"seed {name!r}: {place}: {message.summary}", seed=name, detail=message.detail)


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
        inputs=inputs if context.cacheable else None,
        key_kind=key_kind,
    )


def _line(message: psql.Message, reading: Reading) -> int | None:
    """The line, of the whole text, that the message is about."""
    copied = message.copy_line
    if copied is not None and message.line is not None:
        begun = bisect.bisect_right(reading.data_starts, message.line)
        if begun:
            return reading.data_starts[begun - 1] + copied
    return message.error_line
