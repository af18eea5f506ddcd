"""The pytest plugin: options, fixtures, and the few hooks that must always be there.

It is loaded into every pytest run on the machine, so it and ``fixtures`` import nothing but pytest. What a fixture
needs is imported when a test asks for it, and the hooks that watch tests are registered then, by ``use``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest

from pg_ephemeral.pytest_plugin.fixtures import (
    _pg_connecting,
    _pg_connecting_async,
    _pg_transaction_database,
    _pg_use,
    pg_async_connection,
    pg_connection,
    pg_connection_class,
    pg_connection_module,
    pg_connection_session,
    pg_database,
    pg_database_class,
    pg_database_module,
    pg_database_session,
    pg_definition,
    pg_read_only,
    pg_server,
    pg_transaction,
    pg_url,
    pg_url_class,
    pg_url_module,
    pg_url_session,
)

if TYPE_CHECKING:
    from pg_ephemeral.pytest_plugin.report import RunReport

__all__ = [
    "_pg_connecting",
    "_pg_connecting_async",
    "_pg_transaction_database",
    "_pg_use",
    "pg_async_connection",
    "pg_connection",
    "pg_connection_class",
    "pg_connection_module",
    "pg_connection_session",
    "pg_database",
    "pg_database_class",
    "pg_database_module",
    "pg_database_session",
    "pg_definition",
    "pg_read_only",
    "pg_server",
    "pg_transaction",
    "pg_url",
    "pg_url_class",
    "pg_url_module",
    "pg_url_session",
]

#: What the workers, or this process, did; there is nothing unless the plugin was used.
REPORTS: pytest.StashKey[list[RunReport]] = pytest.StashKey()

#: The name under which a worker sends its reports to the controller, one for each server it used.
OUTPUT = "pg_ephemeral"

_Kind: TypeAlias = Literal["string", "int", "float"]

_INI: tuple[tuple[str, str, _Kind, str | float | None], ...] = (
    ("pg_config", "the database.toml to use (default: the one in rootdir, or in a directory above)", "string", None),
    ("pg_instance", "the instance of database.toml to use", "string", "main"),
    ("pg_backend", "what runs PostgreSQL: auto, docker, podman, embedded (default: as the file says)", "string", None),
    ("pg_ready", "how many databases are kept ready for tests to come; 0: each is made when asked for", "int", 2),
    ("pg_connections", "how many connections all workers together may use to make databases", "int", None),
    ("pg_disk", "how many MB all databases together may take that no test uses", "int", None),
    ("pg_keep", "how many failed tests' databases --pg-keep keeps", "int", 3),
    ("pg_keep_minutes", "how long --pg-keep keeps them after the run, in minutes", "float", 30),
)

#: The first pytest that knows numbers in its configuration file; since 9 they may be written as such.
_KNOWS_NUMBERS = (8, 4)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options; those of the command line win."""
    group = parser.getgroup("pg-ephemeral", "PostgreSQL databases for tests")
    group.addoption("--pg-config", metavar="FILE", help="The database.toml to use.")
    group.addoption("--pg-instance", metavar="NAME", help="The instance of database.toml to use.")
    group.addoption("--pg-backend", metavar="NAME", help="What runs PostgreSQL: auto, docker, podman, embedded.")
    group.addoption(
        "--pg-keep",
        action="store_true",
        help="Keep the databases of the first tests that fail, and the server for a while after the run.",
    )
    for name, text, kind, default in _INI:
        known: _Kind = kind if pytest.version_tuple >= _KNOWS_NUMBERS else "string"
        parser.addini(name, text, type=known, default=default)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: take what it says of itself."""
    contents = getattr(node, "workeroutput", {}).get(OUTPUT, ())
    if contents:
        from pg_ephemeral.pytest_plugin.report import RunReport

        node.config.stash.setdefault(REPORTS, []).extend(map(RunReport.from_json, contents))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what booting and cloning took, if there was any."""
    reports = config.stash.get(REPORTS, [])
    if reports:
        from pg_ephemeral.pytest_plugin.report import write_summary

        write_summary(terminalreporter, reports)
