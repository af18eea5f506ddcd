"""Programs beside the server in its container: run by the engine, or, on a short text, by the script that is there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pg_ephemeral.backends.engine import commands
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.environment import URL_VARIABLE, without_libpq
from pg_ephemeral.process import Invocation

#: For programs whose messages are read by us, whatever language the image speaks.
UNDERSTOOD: Mapping[str, str] = MappingProxyType({"LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PG_COLOR": "never"})

#: At most so many bytes are given to the script, which reads them one by one; beyond, the engine is faster.
MOST_TEXT = 16 * 1024


def variables(connection: Conninfo) -> dict[str, str]:
    """What tells a program where the server is."""
    return {**connection.env(), URL_VARIABLE: connection.url}


def by_engine(
    client: EngineClient,
    container: str,
    argv: Sequence[str],
    *,
    passed: Mapping[str, str],
    user: str | None,
    directory: Path | None = None,
    tty: bool = False,
) -> Invocation:
    """A program with these variables, which the engine's command takes from its own: they are not in its arguments."""
    arguments = commands.execute(container, argv, passed=passed, user=user, directory=directory, tty=tty)
    return Invocation(argv=client.invocation(arguments).argv, env={**without_libpq(os.environ), **passed})


def may_be_fed(text: bytes) -> bool:
    """Whether the script can give it to a program that reads SQL.

    One of psql's own commands, and only such a one, could need the terminal, the files or the output that the engine
    would give it.
    """
    return len(text) <= MOST_TEXT and b"\\" not in text and b"\0" not in text
