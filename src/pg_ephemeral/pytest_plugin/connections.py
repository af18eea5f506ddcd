"""Connections that fixtures hand out, and close."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pg_ephemeral.databases import Database
from pg_ephemeral.pytest_plugin.options import clear

if TYPE_CHECKING:
    import psycopg


@contextmanager
def connection(database: Database, **keywords: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection, in autocommit mode unless ``keywords``, those of ``psycopg.connect``, say otherwise."""
    with clear():
        connected = database.connect(**keywords)
    # Not its own context manager, which commits what a test left open.
    try:
        yield connected
    finally:
        connected.close()


@contextmanager
def async_connection(
    database: Database, *, autocommit: bool = True, isolation_level: Any = None
) -> Iterator[psycopg.AsyncConnection[Any]]:
    """An asynchronous connection, made in a thread of its own, for a fixture does not know what will run the test."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        with clear():
            connected = thread.submit(database.connect_async).result()
        try:
            # A loop takes longer to make than what there is to do in it.
            if not autocommit:
                thread.submit(lambda: asyncio.run(connected.set_autocommit(autocommit))).result()
            if isolation_level is not None:
                thread.submit(lambda: asyncio.run(connected.set_isolation_level(isolation_level))).result()
            yield connected
        finally:
            thread.submit(lambda: asyncio.run(connected.close())).result()


def check_runner(request: pytest.FixtureRequest) -> None:
    """Fail a coroutine that nothing here will run."""
    if not inspect.iscoroutinefunction(request.function):
        return
    runners = request.config.hook.pytest_pyfunc_call.get_hookimpls()
    if all(runner.plugin_name == "python" for runner in runners):
        pytest.fail(
            "pg-ephemeral: pg_async_connection is made, but nothing runs the test, which is a coroutine\n"
            "hint: pip install pytest-asyncio, or anyio, and mark the test as they say",
            pytrace=False,
        )


@contextmanager
def rolled_back(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection in a transaction that is rolled back. If the test ended it, the database is made anew.

    ``commit`` is refused by psycopg there; a test can end the transaction with a statement, or lose the connection. The
    inner transaction is a savepoint, which only the transaction it was made in knows.
    """
    import psycopg

    with connection(database) as connected:
        outer = connected.transaction(force_rollback=True)
        outer.__enter__()
        connected.execute("SAVEPOINT pg_ephemeral")
        try:
            yield connected
        finally:
            try:
                connected.execute("ROLLBACK TO SAVEPOINT pg_ephemeral")
                outer.__exit__(None, None, None)
            except psycopg.Error:
                connected.close()
                with clear():
                    database.reset()
