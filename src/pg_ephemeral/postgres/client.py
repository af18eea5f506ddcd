"""Our own connections to a server. The only module that knows psycopg; its errors become ``ClientError`` here.

No libpq variable of this process's environment has any say: what is not given is given its neutral value.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.names import quote_identifier

if TYPE_CHECKING:
    import psycopg

#: Keywords whose default libpq takes from the environment, with values that mean nothing special. Without a password
#: it would look into the caller's password file.
_NEUTRAL = {
    "application_name": "",
    "channel_binding": "prefer",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "gssencmode": "disable",
    "hostaddr": "",
    "options": "",
    "password": "none",
    "requirepeer": "",
    "sslcert": "",
    "sslcrl": "",
    "sslcrldir": "",
    "sslkey": "",
    "target_session_attrs": "any",
}

#: No value of their keywords means nothing special, so these are hidden from libpq instead.
_HIDDEN = ("PGSERVICE", "PGREQUIREAUTH")
_environment_lock = threading.Lock()

_CANNOT_CONNECT_NOW = "57P03"
_GONE_WITHIN = 10.0
_POLL = 0.005


class Client:
    """A connection in autocommit mode; a context manager. Not safe for use by several threads."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        #: The psycopg connection.
        self.raw = raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; does nothing the second time."""
        self.raw.close()

    def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> None:
        """Run a statement. Raises ``ClientError``."""
        with _mapped():
            self.raw.execute(sql.encode(), None if parameters is None else tuple(parameters))

    def rows(self, sql: str, parameters: Iterable[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows. Raises ``ClientError``."""
        with _mapped():
            return self.raw.execute(sql.encode(), None if parameters is None else tuple(parameters)).fetchall()

    def copy_in(self, statement: str, chunks: Iterable[bytes]) -> None:
        """Run ``COPY … FROM STDIN`` with this data. Raises ``ClientError``; an error of the data's source goes through.

        The data reaches the table only as a whole.
        """
        with _mapped(), self.raw.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for chunk in chunks:
                copy.write(chunk)

    def encrypt_password(self, user: str, password: str) -> str:
        """The SCRAM verifier for a password, so that the server, and its log, never see the password itself."""
        with _mapped():
            return self.raw.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()


def connect(conninfo: Conninfo) -> Client:
    """Connect for our own use. Raises ``ClientError``."""
    return Client(connect_raw(conninfo, autocommit=True, prepare_threshold=None))


def connect_raw(conninfo: Conninfo, **keywords: Any) -> psycopg.Connection[Any]:
    """A psycopg connection; ``keywords`` are those of ``psycopg.connect``, and win. Raises ``ClientError``."""
    import psycopg

    with _mapped(), _hidden_variables():
        return psycopg.connect(**{**_NEUTRAL, **conninfo.keywords(), **keywords})


def try_connect(conninfo: Conninfo) -> Client | None:
    """Connect, or None while the server does not accept connections yet. Raises ``ClientError`` for all else."""
    try:
        return connect(conninfo)
    except ClientError as error:
        # Without a code nobody answered: there is no socket yet, or nobody listens at it.
        if error.sqlstate in (None, _CANNOT_CONNECT_NOW):
            return None
        raise


def terminate_clients(client: Client) -> None:
    """End every other client's connection to the server, and wait until they are gone. Raises ``ClientError``."""
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + _GONE_WITHIN
    while client.rows(f"SELECT pg_terminate_backend(pid) {others}"):
        if time.monotonic() >= deadline:
            raise ClientError(f"clients of the server did not go away within {_GONE_WITHIN:g} s")
        time.sleep(_POLL)


def databases(client: Client) -> list[str]:
    """The databases one can connect to, templates left out."""
    return [name for (name,) in client.rows("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate")]


def freeze(client: Client) -> None:
    """Freeze and analyse the tables of this database that changed since they last were (``VACUUM (FREEZE)``).

    Or the first to read them from a stage would write every page again, to set its hint bits.
    """
    changed = client.rows(
        "SELECT schemaname, relname FROM pg_stat_user_tables"
        " WHERE n_ins_since_vacuum > 0 OR n_mod_since_analyze > 0 OR n_dead_tup > 0"
    )
    if changed:
        tables = ", ".join(f"{quote_identifier(schema)}.{quote_identifier(table)}" for schema, table in changed)
        client.execute(f"VACUUM (FREEZE, ANALYZE) {tables}")


@contextmanager
def _hidden_variables() -> Iterator[None]:
    """Take ``_HIDDEN`` out of the environment while libpq reads it."""
    if not any(name in os.environ for name in _HIDDEN):
        yield
        return
    with _environment_lock:
        hidden = {name: os.environ.pop(name) for name in _HIDDEN if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(hidden)


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn psycopg's errors into ours: the server's primary message, its code, and the rest of what it said."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        said = error.diag
        message = said.message_primary or str(error).strip().split("\n", 1)[0]
        parts = (("DETAIL", said.message_detail), ("HINT", said.message_hint), ("CONTEXT", said.context))
        detail = "\n".join(f"{name}: {text}" for name, text in parts if text)
        raise ClientError(message, sqlstate=error.sqlstate, detail=detail or None) from error
