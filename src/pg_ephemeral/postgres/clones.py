"""Copies of whole databases: how to make, name, empty and drop them, in SQL. Policy is not here.

Every function takes a connection to another database than those it works on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.names import quote_identifier, quote_literal

#: SQLSTATEs (PostgreSQL manual, appendix A).
OBJECT_IN_USE: Final = "55006"
DISK_FULL: Final = "53100"
NO_SUCH_DATABASE: Final = "3D000"
TOO_MANY_CLIENTS: Final = "53300"

#: What a statement gets whose connection was ended: by somebody, by a shutdown, by a crash, or without a word.
CONNECTION_LOST: Final = frozenset({None, "57P01", "57P02"})

_CHOOSES_STRATEGY: Final = 150_000
_CHOOSES_METHOD: Final = 180_000

#: How long the sessions of a database may take to end, in seconds.
_ENDING: Final = 30.0


class Strategy(StrEnum):
    """How the server copies a database (PostgreSQL manual, CREATE DATABASE; ``file_copy_method``).

    ``FILE_COPY`` copies files between two checkpoints, and is all there is before 15. ``CLONE`` does so with the
    system's own copying, which shares blocks where the file system can, from 18. ``WAL_LOG`` copies page by page
    through the log, from 15.
    """

    FILE_COPY = "file_copy"
    CLONE = "clone"
    WAL_LOG = "wal_log"


_CLAUSE: Final[Mapping[Strategy, str]] = MappingProxyType(
    {Strategy.FILE_COPY: "FILE_COPY", Strategy.CLONE: "FILE_COPY", Strategy.WAL_LOG: "WAL_LOG"}
)
_METHOD: Final[Mapping[Strategy, str]] = MappingProxyType({Strategy.FILE_COPY: "copy", Strategy.CLONE: "clone"})


class Source(Struct, frozen=True, kw_only=True):
    """A database to copy: what ``CREATE DATABASE`` has to be told of it. ``size`` is in bytes.

    ``properties`` says whether it has settings, privileges, a comment or labels, which are not copied by themselves.
    """

    name: str
    oid: int
    owner: str
    connection_limit: int
    size: int
    properties: bool


_SOURCE: Final = """
    SELECT d.oid::bigint, pg_get_userbyid(d.datdba), d.datconnlimit, pg_database_size(d.oid),
           d.datacl IS NOT NULL
           OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = d.oid)
           OR EXISTS (SELECT FROM pg_shdescription WHERE classoid = 'pg_database'::regclass AND objoid = d.oid)
           OR EXISTS (SELECT FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = d.oid)
    FROM pg_database AS d WHERE d.datname = %s
"""

#: The rows that ``ALTER DATABASE … SET``, ``GRANT``, ``COMMENT`` and ``SECURITY LABEL`` would write. Not all settings
#: could be made anew by a statement: those with lists lose their quotes, those of a start-up cannot be set before.
_COPY_PROPERTIES: Final = """
    BEGIN;
    SET LOCAL allow_system_table_mods = on;
    INSERT INTO pg_db_role_setting SELECT {target}, setrole, setconfig
        FROM pg_db_role_setting WHERE setdatabase = {source};
    UPDATE pg_database SET datacl = (SELECT datacl FROM pg_database WHERE oid = {source}) WHERE oid = {target};
    INSERT INTO pg_shdepend SELECT dbid, classid, {target}, objsubid, refclassid, refobjid, deptype
        FROM pg_shdepend WHERE classid = 'pg_database'::regclass AND objid = {source} AND deptype = 'a';
    INSERT INTO pg_shdescription SELECT {target}, classoid, description
        FROM pg_shdescription WHERE classoid = 'pg_database'::regclass AND objoid = {source};
    INSERT INTO pg_shseclabel SELECT {target}, classoid, provider, label
        FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = {source};
    COMMIT
"""

_SESSIONS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()
"""


#: Where databases of a tablespace are, as the server sees it; one in place is named relative to the data directory.
_DIRECTORY: Final = """
    SELECT CASE WHEN location LIKE '/%%' THEN location
                WHEN location <> '' THEN current_setting('data_directory') || '/' || location
                ELSE current_setting('data_directory') END
    FROM (SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace
          WHERE CASE WHEN %s::text IS NULL THEN oid = (SELECT dattablespace FROM pg_database WHERE datname = %s)
                     ELSE spcname = %s END) AS found
"""


def strategies(client: Client) -> tuple[Strategy, ...]:
    """What this server can copy with, the likely fastest first. Raises ``ClientError``."""
    version = server_version(client)
    if version < _CHOOSES_STRATEGY:
        return (Strategy.FILE_COPY,)
    if version < _CHOOSES_METHOD or not _can_clone(client):
        return (Strategy.FILE_COPY, Strategy.WAL_LOG)
    return (Strategy.FILE_COPY, Strategy.CLONE, Strategy.WAL_LOG)


def source(client: Client, name: str) -> Source | None:
    """This database as something to copy, or None when there is none of that name. Raises ``ClientError``."""
    for oid, owner, limit, size, properties in client.rows(_SOURCE, (name,)):
        return Source(name=name, oid=oid, owner=owner, connection_limit=limit, size=size, properties=properties)
    return None


def create(client: Client, name: str, origin: Source, strategy: Strategy, *, tablespace: str | None = None) -> None:
    """Copy a database that nobody is connected to, with owner, settings, privileges, comment and labels.

    What is in the default tablespace of the one is in that of the other, which is the same unless it is given.

    Raises ``ClientError``; then there is no database of that name, unless there was before.
    """
    version = server_version(client)
    if version >= _CHOOSES_METHOD and strategy in _METHOD:
        client.execute(f"SET file_copy_method = {_METHOD[strategy]}")
    chosen = f" STRATEGY {_CLAUSE[strategy]}" if version >= _CHOOSES_STRATEGY else ""
    if tablespace is not None:
        chosen += f" TABLESPACE {quote_identifier(tablespace)}"
    client.execute(
        f"CREATE DATABASE {quote_identifier(name)} TEMPLATE {quote_identifier(origin.name)} "
        f"OWNER {quote_identifier(origin.owner)} CONNECTION LIMIT {origin.connection_limit}{chosen}"
    )
    if not origin.properties:
        return
    try:
        ((target,),) = client.rows("SELECT oid::bigint FROM pg_database WHERE datname = %s", (name,))
        client.execute(_COPY_PROPERTIES.format(source=origin.oid, target=target))
    except ClientError:
        if not client.raw.closed:
            client.execute("ROLLBACK")
            drop(client, name)
        raise


def drop(client: Client, name: str) -> None:
    """Drop a database, ending its sessions; nothing happens when there is none. Raises ``ClientError``."""
    client.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)")


def rename(client: Client, name: str, to: str) -> None:
    """Give a database without sessions another name. Raises ``ClientError``."""
    client.execute(f"ALTER DATABASE {quote_identifier(name)} RENAME TO {quote_identifier(to)}")


def allow_connections(client: Client, name: str, *, allowed: bool) -> None:
    """Let new sessions into a database, or nobody, superusers included. Raises ``ClientError``."""
    client.execute(f"ALTER DATABASE {quote_identifier(name)} WITH ALLOW_CONNECTIONS {str(allowed).lower()}")


def seal(client: Client, name: str) -> None:
    """Make a database one that is only copied. Raises ``ClientError``."""
    client.execute(f"ALTER DATABASE {quote_identifier(name)} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")


def make_read_only(client: Client, name: str) -> None:
    """Let new sessions of a database only read, unless they ask for more. Raises ``ClientError``."""
    client.execute(f"ALTER DATABASE {quote_identifier(name)} SET default_transaction_read_only = on")


def end_sessions(client: Client, name: str) -> None:
    """End every other session of a database, those of background workers too, and wait until they are gone.

    Raises ``ClientError``, also when they do not end.
    """
    deadline = time.monotonic() + _ENDING
    while others := client.rows(_SESSIONS, (name,)):
        if time.monotonic() >= deadline:
            raise ClientError(
                f"{len(others)} connections to database {name!r} did not end within {_ENDING:g} s",
                sqlstate=OBJECT_IN_USE,
                hint="close what connects to it again and again, or an extension's background worker",
            )
        client.execute("SELECT pg_sleep(0.002)")


def size(client: Client, name: str) -> int:
    """How many bytes a database has on disk; 0 when there is none. Raises ``ClientError``."""
    return sum(
        int(found)
        for (found,) in client.rows("SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s", (name,))
    )


def prepared_transactions(client: Client, name: str) -> list[str]:
    """The identifiers of the prepared transactions of a database. Raises ``ClientError``."""
    return [gid for (gid,) in client.rows("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (name,))]


def roll_back_prepared(client: Client, gid: str) -> None:
    """Undo a prepared transaction of the database this connection is to. Raises ``ClientError``."""
    client.execute(f"ROLLBACK PREPARED {quote_literal(gid)}")


def drop_subscriptions(client: Client) -> None:
    """Drop the subscriptions of the database this connection is to, and leave the publishers alone.

    Raises ``ClientError``.
    """
    found = client.rows(
        "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database "
        "WHERE datname = current_database())"
    )
    for (name,) in found:
        quoted = quote_identifier(name)
        client.execute(f"ALTER SUBSCRIPTION {quoted} DISABLE")
        client.execute(f"ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE)")
        client.execute(f"DROP SUBSCRIPTION {quoted}")


def directory(client: Client, name: str, *, tablespace: str | None = None) -> str | None:
    """Where copies of this database go, into this tablespace or their origin's, as the server sees it.

    None when there is no such tablespace. Raises ``ClientError``.
    """
    found = client.rows(_DIRECTORY, (tablespace, name, tablespace))
    return str(found[0][0]) if found else None


def is_crowded(error: ClientError) -> bool:
    """Whether the server refused a connection for having as many as it takes."""
    # libpq does not tell the code of what a server says to a connection attempt.
    return error.sqlstate == TOO_MANY_CLIENTS or (error.sqlstate is None and "too many clients" in error.message)


def server_version(client: Client) -> int:
    """The server's version as a number, such as 180006."""
    return client.raw.info.server_version


def _can_clone(client: Client) -> bool:
    """Whether the server was built to clone files; whether the file system shares blocks is another matter."""
    try:
        client.execute("SET file_copy_method = clone")
    except ClientError:
        return False
    return True
