"""The fixtures. Nothing is imported and nothing is started before a test asks for one.

A name without a scope is for a single test: ``pg_database``, ``pg_url``, ``pg_connection``. With one it lives as long
as that says: ``pg_database_module``, ``pg_url_class``, ``pg_connection_session``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg

    from pg_ephemeral.databases import Database
    from pg_ephemeral.definition import Definition
    from pg_ephemeral.pytest_plugin.server import PgServer
    from pg_ephemeral.pytest_plugin.use import Use


@pytest.fixture(scope="session")
def pg_definition(pytestconfig: pytest.Config) -> Definition:
    """What to boot: the instance of database.toml that the options name. Override it to build one in Python."""
    from pg_ephemeral.pytest_plugin.options import chosen_definition

    return chosen_definition(pytestconfig)


@pytest.fixture(scope="session")
def _pg_use(pytestconfig: pytest.Config, pg_definition: Definition) -> Iterator[Use]:
    from pg_ephemeral.pytest_plugin.use import using

    with using(pytestconfig, pg_definition) as use:
        yield use


@pytest.fixture(scope="session")
def pg_server(_pg_use: Use) -> PgServer:
    """The running server with its seeds applied: one for all workers on this host."""
    return _pg_use.server


@pytest.fixture
def pg_database(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[Database]:
    """A database of this test's own: a clone of the seeded one, to do with as it likes."""
    from pg_ephemeral.pytest_plugin.connecting import next_connects

    with _pg_use.lent(request, connecting=next_connects(request, _pg_use)) as database:
        yield database


@pytest.fixture(scope="class")
def pg_database_class(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[Database]:
    """A database for the tests of a class."""
    with _pg_use.lent(request) as database:
        yield database


@pytest.fixture(scope="module")
def pg_database_module(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[Database]:
    """A database for the tests of a module."""
    with _pg_use.lent(request) as database:
        yield database


@pytest.fixture(scope="session")
def pg_database_session(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[Database]:
    """A database for all tests; under pytest-xdist, for those of this worker."""
    with _pg_use.lent(request) as database:
        yield database


@pytest.fixture(scope="session")
def pg_read_only(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[Database]:
    """The one clone that all tests which only read share: whoever writes to it is told off by the server."""
    with _pg_use.shared(request) as database:
        yield database


@pytest.fixture
def pg_url(pg_database: Database) -> str:
    """The URL of pg_database."""
    return pg_database.url


@pytest.fixture(scope="class")
def pg_url_class(pg_database_class: Database) -> str:
    """The URL of pg_database_class."""
    return pg_database_class.url


@pytest.fixture(scope="module")
def pg_url_module(pg_database_module: Database) -> str:
    """The URL of pg_database_module."""
    return pg_database_module.url


@pytest.fixture(scope="session")
def pg_url_session(pg_database_session: Database) -> str:
    """The URL of pg_database_session."""
    return pg_database_session.url


@pytest.fixture
def _pg_connecting(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[None]:
    from pg_ephemeral.databases import Kind
    from pg_ephemeral.pytest_plugin.connecting import announced

    with announced(request, _pg_use, Kind.SYNC):
        yield


@pytest.fixture
def _pg_connecting_async(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[None]:
    from pg_ephemeral.databases import Kind
    from pg_ephemeral.pytest_plugin.connecting import announced

    with announced(request, _pg_use, Kind.ASYNC):
        yield


# The order of arguments counts: what is to come is announced before the database is taken.
@pytest.fixture
def pg_connection(_pg_connecting: None, pg_database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to pg_database, in autocommit mode."""
    with _connected(pg_database) as connection:
        yield connection


@pytest.fixture(scope="class")
def pg_connection_class(pg_database_class: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to pg_database_class, in autocommit mode."""
    with _connected(pg_database_class) as connection:
        yield connection


@pytest.fixture(scope="module")
def pg_connection_module(pg_database_module: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to pg_database_module, in autocommit mode."""
    with _connected(pg_database_module) as connection:
        yield connection


@pytest.fixture(scope="session")
def pg_connection_session(pg_database_session: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to pg_database_session, in autocommit mode."""
    with _connected(pg_database_session) as connection:
        yield connection


@pytest.fixture
def pg_async_connection(
    request: pytest.FixtureRequest, _pg_connecting_async: None, pg_database: Database
) -> Iterator[psycopg.AsyncConnection[Any]]:
    """An asynchronous psycopg connection to pg_database, in autocommit mode, whatever runs the test."""
    from pg_ephemeral.pytest_plugin.connections import async_connection, check_runner

    check_runner(request)
    with async_connection(pg_database) as connection:
        yield connection


@pytest.fixture(scope="session")
def _pg_transaction_database(request: pytest.FixtureRequest, _pg_use: Use) -> Iterator[Database]:
    with _pg_use.lent(request, lasting=False) as database:
        yield database


@pytest.fixture
def pg_transaction(_pg_transaction_database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection in a transaction that is rolled back after the test; all such tests share a database."""
    from pg_ephemeral.pytest_plugin.connections import rolled_back

    with rolled_back(_pg_transaction_database) as connection:
        yield connection


@contextmanager
def _connected(database: Database) -> Iterator[psycopg.Connection[Any]]:
    from pg_ephemeral.pytest_plugin.connections import connection

    with connection(database) as connected:
        yield connected
