"""A connection that was made to a clone before somebody asked for it: to be handed out with the clone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Self

from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo

if TYPE_CHECKING:
    import psycopg


class Kind(Enum):
    """Which of psycopg's connections somebody wants."""

    SYNC = auto()
    ASYNC = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A ``connection`` of this ``kind``, in autocommit mode, to the clone ``name``. Nobody has used it.

    ``settings`` is what the server had set for its sessions when it was made.
    """

    name: str
    kind: Kind
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] = field(repr=False)
    settings: bytes = field(repr=False)
    pid: int = field(default_factory=os.getpid)

    @classmethod
    def ahead(cls, conninfo: Conninfo, kind: Kind) -> Self | None:
        """Connect now; None if the connection is lost as soon as it is made. Raises ``ClientError``."""
        connect = client.connect_raw if kind is Kind.SYNC else client.connect_async
        connection = connect(conninfo, autocommit=True)
        settings = client.session_settings(connection)
        if settings is None:
            client.hang_up(connection)
            return None
        return cls(name=conninfo.database, kind=kind, connection=connection, settings=settings)

    def good(self) -> bool:
        """Whether one that is made now would be no other: it is ours, it stands, and has the settings it would get."""
        return self.pid == os.getpid() and client.session_settings(self.connection) == self.settings

    def close(self) -> None:
        """End it, unless it is that of a process we were forked from."""
        if self.pid == os.getpid():
            client.hang_up(self.connection)
