"""A pool's connections to its server: borrowed for a piece of work, kept for the next, made with patience."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pg_ephemeral.databases.template import connect
from pg_ephemeral.errors import ClientError, PgEphemeralError, ServerError
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo

#: Where they are: the template is there by then, so that hardly anybody copies the first of them.
_HOMES: Final = ("postgres", "template1")

#: For how long to ask again, and how often, while a server has as many clients as it takes; in seconds.
_PATIENCE: Final = 10.0
_AGAIN: Final = 0.05


class Connections:
    """Safe for several threads. Without ``keep`` each is closed after its piece of work."""

    def __init__(self, control: Conninfo, *, keep: bool) -> None:
        """Nothing is done yet."""
        self._control = control
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        #: Whether the last that was heard of the server was that it is gone.
        self._missed = False

    @contextmanager
    def one(self) -> Iterator[Client]:
        """A connection for one piece of work. One that ends with an error is not used again. Raises ``ClientError``."""
        client = self._kept() or self._made()
        try:
            yield client
        except BaseException as error:
            client.close()
            self._missed = is_lost(error)
            raise
        self._missed = False
        if not self._keep:
            client.close()
            return
        with self._lock:
            self._idle.append(client)

    def doubtful(self) -> bool:
        """Whether it takes a question to know that the server is there. Asks nothing itself."""
        with self._lock:
            lost = [client for client in self._idle if client.lost()]
            for client in lost:
                self._idle.remove(client)
                client.close()
        return bool(lost) or self._missed

    def reachable(self) -> bool:
        """Whether the server takes a connection now."""
        with suppress(PgEphemeralError), self.one():
            return True
        return False

    def close(self) -> None:
        """Close those that are kept."""
        for client in self._idle:
            client.close()

    def _kept(self) -> Client | None:
        """A connection that still stands; those that do not are closed."""
        with self._lock:
            while self._idle:
                client = self._idle.pop()
                if not client.lost():
                    return client
                client.close()
            return None

    def _made(self) -> Client:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return connect(self._control, *_HOMES)
            except ClientError as error:
                if not clones.is_crowded(error):
                    self._missed = True
                    raise
                if time.monotonic() >= deadline:
                    raise
            # Nobody tells when another client leaves.
            time.sleep(_AGAIN)


def is_lost(error: BaseException) -> bool:
    """Whether this is what one gets whose connection was ended, or could not be made; by a full server it could."""
    return isinstance(error, ClientError) and error.sqlstate in clones.CONNECTION_LOST and not clones.is_crowded(error)


def explained(error: BaseException) -> BaseException:
    """The error for a caller: that no connection is to be had, is the server's trouble."""
    if not isinstance(error, ClientError):
        return error
    told: PgEphemeralError
    if clones.is_crowded(error):
        told = ClientError(
            "the server has as many clients as it takes, so that no database can be cloned",
            sqlstate=clones.TOO_MANY_CLIENTS,
            detail=error.message,
            hint="raise max_connections among the instance's parameters, or run fewer workers",
        )
    elif is_lost(error):
        told = ServerError(f"the server cannot be reached to clone a database: {error.message}", detail=error.detail)
    else:
        return error
    told.__cause__ = error
    return told
