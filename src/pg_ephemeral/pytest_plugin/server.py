"""The server of a test run, as tests see it: of this process, or shared with the other workers of the run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pg_ephemeral.definition import Definition
from pg_ephemeral.lifecycle import boot
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.environment import client_environment
from pg_ephemeral.progress import Progress
from pg_ephemeral.pytest_plugin.progress import terminal_progress
from pg_ephemeral.shared_server import BootRecord, Facts, Member, described, join

if TYPE_CHECKING:
    import psycopg
    import pytest


class PgServer:
    """A running server with its seeds applied, for the whole run. Its default database is the seeded one.

    Tests had better leave that one alone: what they change in it before the first clone is made is in every clone, and
    to make that one all sessions of the seeded database are ended.
    """

    def __init__(self, facts: Facts, definition: Definition, member: Member | None = None) -> None:
        self.facts = facts
        self.definition = definition
        #: Our share in it, when it is another process that holds it.
        self.member = member

    @property
    def conninfo(self) -> Conninfo:
        """How to connect, as one value."""
        return self.facts.conninfo

    @property
    def url(self) -> str:
        """The connection URL, password included."""
        return self.conninfo.url

    @property
    def version(self) -> str:
        """The server's version: ``18.1``."""
        return self.facts.version

    @property
    def log_file(self) -> Path | None:
        """Where the server logs to, if that is a file here."""
        return self.facts.log_file

    def env(self) -> dict[str, str]:
        """The libpq variables and ``DATABASE_URL``, and nothing else."""
        return {**self.conninfo.env(), "DATABASE_URL": self.url}

    def environment(self) -> dict[str, str]:
        """A whole environment for a program: ours without any libpq variable, plus ``env()``.

        The server's own client programs come first on its ``PATH``.
        """
        return client_environment(self.conninfo, path_first=self.facts.programs)

    def connect(self, **keywords: Any) -> psycopg.Connection[Any]:
        """Connect with psycopg, as the superuser and in autocommit mode unless ``keywords`` say otherwise.

        Raises ``ClientError``.
        """
        return client.connect_raw(self.conninfo, **{"autocommit": True, **keywords})

    def __repr__(self) -> str:
        return f"<PgServer {self.definition.instance} at {self.conninfo.endpoint}>"


@contextmanager
def running_server(config: pytest.Config, definition: Definition, *, keep: bool) -> Iterator[PgServer]:
    """A server for the block. Workers of one run share one, and one that is to ``keep`` is nobody's child.

    Raises the errors of ``pg_ephemeral.errors``.
    """
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None and not keep:
        with _own_server(definition, terminal_progress(config)) as server:
            yield server
        return
    run = secrets.token_hex(16) if workerinput is None else str(workerinput["testrunuid"])
    member = join(definition, run=run)
    try:
        yield PgServer(member.facts, definition, member)
    finally:
        member.close()


@contextmanager
def _own_server(definition: Definition, progress: Progress) -> Iterator[PgServer]:
    record = BootRecord(progress)
    with boot(definition, progress=record) as server:
        yield PgServer(described(server, record), definition)
