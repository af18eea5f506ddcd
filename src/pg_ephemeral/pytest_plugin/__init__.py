"""The pytest plugin: options, fixtures, and the few hooks that must always be there.

It is loaded into every pytest run on the machine, so it and ``fixtures`` import nothing but pytest. What a fixture
needs is imported when a test asks for it, and the hooks that watch tests are registered then, by ``use``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pg_ephemeral.pytest_plugin.fixtures import (
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

#: The name under which a worker sends its report to the controller.
OUTPUT = "pg_ephemeral"

_INI = (
    ("pg_config", "the database.toml to use (default: the one in rootdir, or in a directory above)", None),
    ("pg_instance", "the instance of database.toml to use", "main"),
    ("pg_backend", "what runs PostgreSQL: auto, docker, podman, embedded (default: as database.toml says)", None),
    ("pg_ready", "how many databases are kept ready for tests to come; 0: each is made when it is asked for", "2"),
    ("pg_keep", "how many failed tests' databases --pg-keep keeps", "3"),
    ("pg_keep_minutes", "how long --pg-keep keeps them after the run, in minutes", "30"),
)


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
    for name, text, default in _INI:
        parser.addini(name, text, type="string", default=default)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: take what it says of itself."""
    content = getattr(node, "workeroutput", {}).get(OUTPUT)
    if content is not None:
        from pg_ephemeral.pytest_plugin.report import RunReport

        node.config.stash.setdefault(REPORTS, []).append(RunReport.from_json(content))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what booting and cloning took, if there was any."""
    reports = config.stash.get(REPORTS, [])
    if reports:
        from pg_ephemeral.pytest_plugin.report import write_summary

        write_summary(terminalreporter, reports)
