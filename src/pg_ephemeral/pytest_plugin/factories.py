"""The factories of pytest-postgresql, for suites that move over: same names and arguments, our server and clones.

Arguments that say where a server is, or how one is started, are accepted and have no effect: that is the business of
``database.toml``. ``load`` works as there: SQL files, callables and ``"module:callable"``, run once for each worker; a
callable is given ``host``, ``port``, ``user``, ``password`` and ``dbname``. Better are seeds, which are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    import psycopg

    from pg_ephemeral.databases import Database, Databases
    from pg_ephemeral.pytest_plugin.use import Use

__all__ = ["Process", "postgresql", "postgresql_async", "postgresql_noproc", "postgresql_proc"]

#: What ``load`` may hold: an SQL file, a callable, or where a callable is.
Load: TypeAlias = Path | str | Callable[..., object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a fixture made by ``postgresql_proc`` is. ``dbname`` is the database that tests get clones of.

    ``unixsocketdir`` is empty where the server has no socket on this host.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str
    version: str
    use: Use = field(repr=False)
    source: Databases | None = field(repr=False)
    unixsocketdir: str = ""
    options: str = ""

    @property
    def template_dbname(self) -> str:
        """As ``dbname``."""
        return self.dbname


def postgresql_proc(*, load: Sequence[Load] = (), **_settings: object) -> Any:
    """A session-scoped fixture: the server, with ``load`` applied to a database of its own if there is any."""

    @pytest.fixture(scope="session")
    def postgresql_proc_fixture(_pg_use: Use) -> Process:
        """The server of pg-ephemeral, as pytest-postgresql describes one."""
        return _process(_pg_use, tuple(load))

    return postgresql_proc_fixture


#: A server that somebody else started is none of ours; so this is the same.
postgresql_noproc = postgresql_proc


def postgresql(process_fixture_name: str, dbname: str | None = None, isolation_level: Any = None) -> Any:  # noqa: ARG001 -- clones have names of their own
    """A fixture: a psycopg connection, not in autocommit mode, to a database of the test's own."""

    @pytest.fixture
    def postgresql_fixture(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
        """A connection to a clone."""
        from pg_ephemeral.databases import Kind
        from pg_ephemeral.pytest_plugin.connections import connection

        process: Process = request.getfixturevalue(process_fixture_name)
        with (
            process.use.lent(request, process.source, connecting=Kind.SYNC) as database,
            connection(database, autocommit=False) as connected,
        ):
            connected.isolation_level = isolation_level
            yield connected

    return postgresql_fixture


def postgresql_async(process_fixture_name: str, dbname: str | None = None, isolation_level: Any = None) -> Any:  # noqa: ARG001 -- clones have names of their own
    """A fixture: an asynchronous psycopg connection, not in autocommit mode, to a database of the test's own."""

    @pytest.fixture
    def postgresql_async_fixture(request: pytest.FixtureRequest) -> Iterator[psycopg.AsyncConnection[Any]]:
        """A connection to a clone."""
        from pg_ephemeral.databases import Kind
        from pg_ephemeral.pytest_plugin.connections import async_connection

        process: Process = request.getfixturevalue(process_fixture_name)
        with (
            process.use.lent(request, process.source, connecting=Kind.ASYNC) as database,
            async_connection(database, autocommit=False, isolation_level=isolation_level) as connected,
        ):
            yield connected

    return postgresql_async_fixture


def _process(use: Use, load: tuple[Load, ...]) -> Process:
    from pg_ephemeral.postgres.conninfo import SocketEndpoint

    conninfo, source = use.server.conninfo, None
    if load:
        source, conninfo = use.prepared(lambda database: _apply(load, database))
    keywords, control = conninfo.keywords(), use.server.facts.control.endpoint
    return Process(
        host=keywords["host"],
        port=int(keywords["port"]),
        user=keywords["user"],
        password=keywords.get("password", ""),
        dbname=keywords["dbname"],
        version=use.server.version,
        use=use,
        source=source,
        unixsocketdir=control.socket_path if isinstance(control, SocketEndpoint) else "",
    )


def _apply(load: tuple[Load, ...], database: Database) -> None:
    keywords = database.conninfo.keywords()
    for one in load:
        if isinstance(one, Path):
            with database.connect() as connection:
                connection.execute(one.read_bytes())
            continue
        called = _imported(one) if isinstance(one, str) else one
        called(
            host=keywords["host"],
            port=int(keywords["port"]),
            user=keywords["user"],
            password=keywords.get("password", ""),
            dbname=keywords["dbname"],
        )


def _imported(path: str) -> Callable[..., object]:
    """``package.module:name``, or ``package.module.name``."""
    module, _, name = path.rpartition(":" if ":" in path else ".")
    found: Callable[..., object] = getattr(import_module(module), name)
    return found
