"""One clone in a caller's hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo

if TYPE_CHECKING:
    import psycopg


class Database:
    """A database with the seeded content, the caller's until it is given back. ``conninfo`` is how to connect to it.

    With ``read_only``, it is shared, and sessions only read unless they ask for more.
    """

    def __init__(self, conninfo: Conninfo, *, read_only: bool, reset: Callable[[Database], None]) -> None:
        """Made by ``Databases`` alone."""
        self.conninfo = conninfo
        self.read_only = read_only
        self._reset = reset

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
        return client.connect_raw(self.conninfo, **{"autocommit": True, **keywords})

    def reset(self) -> None:
        """Bring it back to the seeded content, in place: name and ``conninfo`` stay, open connections are ended.

        Raises ``ClientError``, or ``ServerError`` when the server is gone.
        """
        self._reset(self)

    def __repr__(self) -> str:
        return f"<Database {self.name}>"
