"""One clone in a caller's hands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pg_ephemeral.databases.opened import Kind, Opened
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo

if TYPE_CHECKING:
    import psycopg


class Database:
    """A database with the seeded content, the caller's until it is given back. ``conninfo`` is how to connect to it.

    With ``read_only``, it is shared, and sessions only read unless they ask for more.
    """

    def __init__(
        self,
        conninfo: Conninfo,
        *,
        read_only: bool,
        reset: Callable[[Database], None],
        opened: Opened | None = None,
    ) -> None:
        """Made by ``Databases`` alone."""
        self.conninfo = conninfo
        self.read_only = read_only
        self._reset = reset
        #: A connection for the first who connects; one at most. Of several threads, one gets it.
        self._opened = [] if opened is None else [opened]

    @property
    def name(self) -> str:
        """Its name on the server."""
        return self.conninfo.database

    @property
    def url(self) -> str:
        """The connection URL, password included."""
        return self.conninfo.url

    def env(self) -> dict[str, str]:
        """The libpq variables and ``DATABASE_URL`` of this database, and nothing else."""
        return {**self.conninfo.env(), "DATABASE_URL": self.url}

    def connect(self, **keywords: Any) -> psycopg.Connection[Any]:
        """Connect with psycopg, in autocommit mode unless ``keywords`` say otherwise.

        ``keywords`` are those of ``psycopg.connect``. Raises ``ClientError``.
        """
        wanted = {"autocommit": True, **keywords}
        opened: psycopg.Connection[Any] | None = self._ahead(Kind.SYNC, plain=wanted.keys() == {"autocommit"})
        if opened is None:
            return client.connect_raw(self.conninfo, **wanted)
        opened.autocommit = bool(wanted["autocommit"])
        return opened

    def connect_async(self, **keywords: Any) -> psycopg.AsyncConnection[Any]:
        """The same for an asynchronous connection. No event loop may run in this thread. Raises ``ClientError``."""
        opened: psycopg.AsyncConnection[Any] | None = self._ahead(Kind.ASYNC, plain=not keywords)
        return opened or client.connect_async(self.conninfo, **{"autocommit": True, **keywords})

    def disconnect(self) -> None:
        """End what was connected ahead, if nobody has asked for it."""
        with suppress(IndexError):
            self._opened.pop().close()

    def reset(self) -> None:
        """Bring it back to the seeded content, in place: name and ``conninfo`` stay, open connections are ended.

        Raises ``ClientError``, or ``ServerError`` when the server is gone.
        """
        self._reset(self)

    def _ahead(self, kind: Kind, *, plain: bool) -> Any:
        """What was connected ahead, if it is no other than a ``plain`` connection of this kind; it is ended if not."""
        try:
            opened = self._opened.pop()
        except IndexError:
            return None
        if plain and opened.kind is kind and opened.good():
            return opened.connection
        opened.close()
        return None

    def __repr__(self) -> str:
        return f"<Database {self.name}>"
