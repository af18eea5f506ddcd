"""Your seeded PostgreSQL, ready in milliseconds, on any machine.

>>> import pg_ephemeral
>>> definition = pg_ephemeral.Definition().apply_sql_statement("schema", "CREATE TABLE t (x int)")
>>> with pg_ephemeral.boot(definition) as server:  # doctest: +SKIP
...     server.connect().execute("SELECT count(*) FROM t").fetchone()
(0,)

Names are imported from where they live when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pg_ephemeral.version import VERSION

if TYPE_CHECKING:
    from pg_ephemeral.definition import BackendChoice, Definition, InstanceName, Tls
    from pg_ephemeral.errors import (
        BackendError,
        CacheError,
        ClientError,
        ConfigError,
        DefinitionError,
        Interrupted,
        InvalidValue,
        PgEphemeralError,
        PostgresNotFound,
        ProcessError,
        RegistryError,
        SeedError,
        SeedFailed,
        SeedLoadError,
        ServerError,
    )
    from pg_ephemeral.lifecycle import aboot, boot
    from pg_ephemeral.postgres.conninfo import Conninfo
    from pg_ephemeral.seeds import (
        Command,
        CommandHash,
        ContainerScript,
        CsvFile,
        KeyCommand,
        KeyPaths,
        KeyScript,
        NoCache,
        Script,
        SqlFile,
        SqlStatement,
    )
    from pg_ephemeral.seeds.base import SeedName
    from pg_ephemeral.server import Server

__version__ = VERSION

_HOMES = {
    "pg_ephemeral.definition": ("BackendChoice", "Definition", "InstanceName", "Tls"),
    "pg_ephemeral.errors": (
        "BackendError",
        "CacheError",
        "ClientError",
        "ConfigError",
        "DefinitionError",
        "Interrupted",
        "InvalidValue",
        "PgEphemeralError",
        "PostgresNotFound",
        "ProcessError",
        "RegistryError",
        "SeedError",
        "SeedFailed",
        "SeedLoadError",
        "ServerError",
    ),
    "pg_ephemeral.lifecycle": ("aboot", "boot"),
    "pg_ephemeral.postgres.conninfo": ("Conninfo",),
    "pg_ephemeral.seeds": (
        "Command",
        "CommandHash",
        "ContainerScript",
        "CsvFile",
        "KeyCommand",
        "KeyPaths",
        "KeyScript",
        "NoCache",
        "Script",
        "SqlFile",
        "SqlStatement",
    ),
    "pg_ephemeral.seeds.base": ("SeedName",),
    "pg_ephemeral.server": ("Server",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BackendChoice",
    "BackendError",
    "CacheError",
    "ClientError",
    "Command",
    "CommandHash",
    "ConfigError",
    "Conninfo",
    "ContainerScript",
    "CsvFile",
    "Definition",
    "DefinitionError",
    "InstanceName",
    "Interrupted",
    "InvalidValue",
    "KeyCommand",
    "KeyPaths",
    "KeyScript",
    "NoCache",
    "PgEphemeralError",
    "PostgresNotFound",
    "ProcessError",
    "RegistryError",
    "Script",
    "SeedError",
    "SeedFailed",
    "SeedLoadError",
    "SeedName",
    "Server",
    "ServerError",
    "SqlFile",
    "SqlStatement",
    "Tls",
    "__version__",
    "aboot",
    "boot",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module, once (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
