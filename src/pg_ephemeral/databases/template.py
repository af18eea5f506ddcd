"""The sealed template: a copy of the seeded database that nobody connects to, made once for all processes.

It is named after the seeded database's oid. Look, lock, look again: one process makes it, under an advisory lock, and
under another name until it is complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client as clients
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.clones import Source, Strategy
from pg_ephemeral.postgres.conninfo import Conninfo

#: What our connections are called in ``pg_stat_activity``.
APPLICATION: Final = "pg-ephemeral"

_PREFIX: Final = "pg_ephemeral_template_"
_LOCK: Final = int.from_bytes(b"pg-ephem")

#: How long others may keep the seeded database from being copied, in seconds.
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The sealed database, what the server can copy it with, and the directory copies go to, as the server sees it."""

    source: Source
    strategies: tuple[Strategy, ...]
    directory: str | None


def prepare(control: Conninfo, seeded: str, *, tablespace: str | None = None) -> Template:
    """The template of this database, made now if there is none. Every session of the seeded database is then ended.

    Copies will go into ``tablespace``, or where the seeded database is.

    Raises ``ClientError``; then the seeded database can be connected to as before.
    """
    # Advisory locks are a database's own: every process must choose the same one, and not the one that is copied.
    with connect(control, *(name for name in ("postgres", "template1") if name != seeded)) as client:
        found = clones.source(client, seeded)
        if found is None:
            raise ClientError(f"there is no database {seeded!r} to clone", sqlstate=clones.NO_SUCH_DATABASE)
        name = f"{_PREFIX}{found.oid}"
        template = clones.source(client, name)
        if template is None:
            with _locked(client):
                template = clones.source(client, name) or _make(client, found, name)
        return Template(
            source=template,
            strategies=clones.strategies(client),
            directory=clones.directory(client, name, tablespace=tablespace),
        )


def connect(control: Conninfo, *databases: str) -> Client:
    """A connection of ours to the first of these databases that is there. Raises ``ClientError``."""
    for name in databases[:-1]:
        try:
            return _connect(control, name)
        except ClientError as error:
            # libpq does not tell the code of what a server says to a connection attempt.
            if error.sqlstate != clones.NO_SUCH_DATABASE and "does not exist" not in error.message:
                raise
    return _connect(control, databases[-1])


def _connect(control: Conninfo, database: str) -> Client:
    return clients.connect_unhindered(replace(control, database=database, application_name=APPLICATION))


@contextmanager
def _locked(client: Client) -> Iterator[None]:
    """The lock ends with the block, or with the connection if that ends first."""
    client.rows("SELECT pg_advisory_lock(%s)", (_LOCK,))
    yield
    client.rows("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _make(client: Client, seeded: Source, name: str) -> Source:
    making = f"{name}_making"
    clones.drop(client, making)  # what a process that was killed left
    _refuse_prepared(client, seeded.name)
    try:
        clones.allow_connections(client, seeded.name, allowed=False)
        _copy(client, making, seeded)
    finally:
        # Whoever made this database can connect to it: it was allowed before, or we were killed in this very place.
        if not client.raw.closed:
            clones.allow_connections(client, seeded.name, allowed=True)
    clones.seal(client, making)
    clones.rename(client, making, name)
    made = clones.source(client, name)
    if made is None:
        raise ClientError(f"the template {name!r} was removed while it was made")
    return made


def _copy(client: Client, name: str, seeded: Source) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        clones.end_sessions(client, seeded.name)
        try:
            clones.create(client, name, seeded, Strategy.FILE_COPY)
        except ClientError as error:
            # A background worker may come back uninvited; the server itself waits a few seconds for it to go.
            if error.sqlstate != clones.OBJECT_IN_USE or time.monotonic() >= deadline:
                raise
        else:
            return


def _refuse_prepared(client: Client, seeded: str) -> None:
    if gids := clones.prepared_transactions(client, seeded):
        raise ClientError(
            f"database {seeded!r} cannot be cloned: it has the prepared transaction {gids[0]!r}",
            sqlstate=clones.OBJECT_IN_USE,
            hint="commit it or roll it back first, with COMMIT PREPARED or ROLLBACK PREPARED",
        )
