"""Our own connections to a server. The only module that knows psycopg; its errors become ``ClientError`` here.

No libpq variable of this process's environment has any say in them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.unhindered import unhindered

if TYPE_CHECKING:
    import psycopg

#: How long a server may take to answer a connection attempt, in seconds, unless the caller says.
CONNECT_TIMEOUT: Final = 10.0

#: What to say instead of nothing where nothing would not mean libpq's own default.
_NEUTRAL: Final = {
    "client_encoding": "UTF8",
    "connect_timeout": str(int(CONNECT_TIMEOUT)),
    "max_protocol_version": "3.0",
    "min_protocol_version": "3.0",
    "require_auth": "none,password,md5,gss,sspi,scram-sha-256",
    "sslcertmode": "disable",
}

#: Variables that no keyword can overrule: ``PGSERVICE`` counts when ``service`` is empty, and the others are sent with
#: the start-up message (libpq's ``conninfo_add_defaults`` and ``pqBuildStartupPacket3``).
_HIDDEN: Final = ("PGSERVICE", "PGDATESTYLE", "PGTZ", "PGGEQO")
_hiding = threading.Lock()
# A process that is forked meanwhile would have neither the variables nor anybody to release the lock.
os.register_at_fork(before=_hiding.acquire, after_in_parent=_hiding.release, after_in_child=_hiding.release)

_log = logging.getLogger(__name__)

_TERMINATE: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
#: Named in full: a session's ``search_path`` may have something else in front.
_SESSION_SETTINGS: Final = b"""
    SELECT pg_catalog.concat(pg_catalog.string_agg(pg_catalog.concat_ws(' ', setdatabase, setrole, setconfig), ';'))
    FROM pg_catalog.pg_db_role_setting
    WHERE (setdatabase OPERATOR(pg_catalog.=) 0 OR setdatabase OPERATOR(pg_catalog.=)
           (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
      AND (setrole OPERATOR(pg_catalog.=) 0 OR setrole OPERATOR(pg_catalog.=)
           (SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) session_user))
"""
_DATABASES: Final = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
#: A table whose pages were never vacuumed counts as changed, too: one that was rewritten has lost its statistics.
#: Before 15 these come late, by way of a collector, so that all tables with pages count.
_CHANGED_TABLES: Final = """
    SELECT format('%I.%I', s.schemaname, s.relname)
    FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid
    WHERE pg_relation_size(c.oid) > 0
      AND (c.relallvisible = 0 OR s.n_mod_since_analyze > 0 OR s.n_ins_since_vacuum > 0
           OR current_setting('server_version_num')::int < 150000 OR current_setting('track_counts') = 'off')
    ORDER BY 1
"""

#: What was committed with ``synchronous_commit`` off cannot be marked visible to all until its WAL is written. The
#: message is a record for this commit to write and everything before it; nobody reads it.
_FLUSH: Final = """
    SET synchronous_commit TO local;
    SELECT pg_logical_emit_message(true, 'pg-ephemeral', '')
"""


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

    def lost(self) -> bool:
        """Whether the server has ended this connection, as far as that shows without asking it anything."""
        if self.raw.closed:
            return True
        import select

        poll = select.poll()
        poll.register(self.raw.fileno(), select.POLLIN)
        try:
            with _mapped():
                while poll.poll(0):
                    self.raw.pgconn.consume_input()
        except ClientError:
            return True
        return False

    @property
    def server_version(self) -> int:
        """As the server's ``server_version_num``."""
        return self.raw.info.server_version

    def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> None:
        """Run a statement; ``%s`` stands for a parameter if there are any. Raises ``ClientError``."""
        with _mapped():
            self.raw.execute(sql.encode(), None if parameters is None else tuple(parameters))

    def rows(self, sql: str, parameters: Iterable[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows. Raises ``ClientError``."""
        with _mapped():
            return self.raw.execute(sql.encode(), None if parameters is None else tuple(parameters)).fetchall()

    def copy_in(self, statement: str, chunks: Iterable[bytes]) -> None:
        """Run ``COPY … FROM STDIN`` with this data, all of it or none.

        Raises ``ClientError``; an exception of ``chunks`` ends the COPY and goes through.
        """
        with _mapped(), self.raw.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for chunk in chunks:
                copy.write(chunk)


def connect(conninfo: Conninfo, *, timeout: float | None = None) -> Client:
    """Connect, in autocommit mode.

    ``timeout`` is in seconds, of which psycopg takes whole ones and at least 2. Raises ``ClientError``.
    """
    return _connect(conninfo, timeout)


def connect_unhindered(conninfo: Conninfo, *, timeout: float | None = None, lock_timeout: float = 0.0) -> Client:
    """Connect for a purpose of our own: no time limit and no default of the user's applies to it.

    ``lock_timeout`` is in seconds; 0 is for ever. Raises ``ClientError``.
    """
    return unhindered(lambda options: _connect(conninfo, timeout, options=options), lock_timeout=lock_timeout)


def _connect(conninfo: Conninfo, timeout: float | None, **keywords: str) -> Client:
    if timeout is not None:
        keywords["connect_timeout"] = str(max(1, round(timeout)))
    return Client(connect_raw(conninfo, autocommit=True, prepare_threshold=None, **keywords))


def connect_raw(conninfo: Conninfo, **keywords: Any) -> psycopg.Connection[Any]:
    """A psycopg connection; ``keywords`` are those of ``psycopg.connect``, and win. Raises ``ClientError``."""
    import psycopg

    with _connecting():
        return psycopg.connect(**{**neutral_keywords(os.environ), **conninfo.keywords(), **keywords})


def connect_async(conninfo: Conninfo, **keywords: Any) -> psycopg.AsyncConnection[Any]:
    """An asynchronous psycopg connection, as ``connect_raw``. Raises ``ClientError``.

    It is made in an event loop that ends at once, so that no other may run in this thread. psycopg's connections are
    not bound to a loop: each operation waits in the one that runs it.
    """
    import asyncio

    import psycopg

    async def connected() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            **{**neutral_keywords(os.environ), **conninfo.keywords(), **keywords}
        )

    with _connecting():
        return asyncio.run(connected())


def terminate_clients(client: Client, *, timeout: float = 10.0) -> None:
    """End every other client's connection to the server, and wait until they are gone, at most ``timeout`` seconds.

    Raises ``ClientError``.
    """
    deadline = time.monotonic() + timeout
    while others := client.rows(_TERMINATE):
        if time.monotonic() >= deadline:
            raise ClientError(f"{len(others)} other connections did not end within {timeout:g} s")
        # Backends end on their own time, and only since 14 can a server be asked to wait for that.
        client.execute("SELECT pg_sleep(0.002)")


def databases(client: Client) -> list[str]:
    """The databases one can connect to, templates left out."""
    return [name for (name,) in client.rows(_DATABASES)]


def freeze(client: Client) -> None:
    """Freeze and analyse the tables of this database that changed since they last were.

    Or else the first to read them from a stage would write every page again, to set its hint bits. Frozen or not, the
    content is the same, so that a table which cannot be (an index expression that fails, a lock held by a prepared
    transaction) is left as it is. Raises ``ClientError`` when the server is gone.
    """
    tables = [name for (name,) in client.rows(_CHANGED_TABLES)]
    if not tables:
        return
    client.execute(_FLUSH)
    try:
        client.execute(f"VACUUM (FREEZE, ANALYZE, SKIP_LOCKED) {', '.join(tables)}")
    except ClientError as error:
        _log.debug("not every table was frozen: %s", error.message)


def session_settings(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bytes | None:
    """What the server sets for new sessions like this one, of its role or database; None when the connection is lost.

    psycopg is not told: it would count the statement, or begin a transaction.
    """
    import psycopg

    try:
        return connection.pgconn.exec_(_SESSION_SETTINGS).get_value(0, 0)
    except psycopg.Error:
        return None


def hang_up(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Close a connection of either kind; does nothing the second time."""
    connection.pgconn.finish()


def neutral_keywords(environment: Mapping[str, str]) -> dict[str, str]:
    """Values for the keywords that libpq would otherwise take from variables that are set."""
    from psycopg import pq

    options = [option for option in pq.Conninfo.get_defaults() if option.envvar is not None]
    found = {
        option.keyword.decode(): (option.compiled or b"").decode()
        for option in options
        if option.envvar is not None and option.envvar.decode() in environment
    }
    found.pop("service", None)
    return {keyword: _NEUTRAL.get(keyword, compiled) for keyword, compiled in found.items()} | {
        keyword: _NEUTRAL[keyword] for keyword in ("client_encoding", "connect_timeout")
    }


@contextmanager
def _connecting() -> Iterator[None]:
    """What holds for an attempt to connect, whatever is connected."""
    import psycopg

    with _mapped(), _hidden():
        try:
            yield
        except psycopg.Error as error:
            # Among the arguments of psycopg's functions is the password, and pytest shows the arguments of a traceback.
            raise error.with_traceback(None) from None


@contextmanager
def _hidden() -> Iterator[None]:
    """Take the variables that cannot be overruled out of the environment, if any is set, for the block."""
    with _hiding:
        saved = {name: os.environ.pop(name) for name in _HIDDEN if name in os.environ}
        if saved:
            try:
                yield
            finally:
                os.environ.update(saved)
            return
    # Only now that nobody else hides any is it known that none is set.
    yield


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn psycopg's errors into ours: the server's primary message, its code, and the rest of what it said."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        said = error.diag
        first, _, rest = str(error).strip().partition("\n")
        parts = (("DETAIL", said.message_detail), ("HINT", said.message_hint), ("CONTEXT", said.context))
        detail = "\n".join(f"{name}: {text}" for name, text in parts if text)
        raise ClientError(
            said.message_primary or first,
            sqlstate=error.sqlstate,
            detail=detail or (None if said.message_primary else rest) or None,
        ) from error
