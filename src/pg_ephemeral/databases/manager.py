"""Clones of the seeded database for callers: what the package's users hold."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from pg_ephemeral.databases.database import Database
from pg_ephemeral.databases.opened import Kind, Opened
from pg_ephemeral.databases.options import Options, Timings
from pg_ephemeral.databases.pool import Pool
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.conninfo import Conninfo

_DEFAULTS = Options()


class Databases:
    """Databases with the seeded content, one for everybody who asks; a context manager.

    Safe for several threads, and for several processes on one server. A process that was forked has its own clones.
    """

    def __init__(self, control: Conninfo, seeded: Conninfo, options: Options = _DEFAULTS) -> None:
        """Nothing is done yet. ``control`` is a superuser's connection for us, ``seeded`` the caller's own."""
        self._control = control
        self._seeded = seeded
        self.options = options
        self._pool = self._new_pool()
        self._sharing = threading.Lock()
        self._shared: Database | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def database(self, *, read_only: bool = False, connecting: Kind | None = None) -> Iterator[Database]:
        """A clone for the block; with ``read_only`` the one that everybody shares. Otherwise as ``take``."""
        if read_only:
            yield self.shared()
            return
        taken = self.take(connecting=connecting)
        try:
            yield taken
        finally:
            self.give_back(taken)

    def prepare(self) -> None:
        """Begin to make clones in the background, before the first is asked for."""
        self._live().start()

    def take(self, *, connecting: Kind | None = None) -> Database:
        """A clone for the caller alone, until it is given back.

        A caller who is ``connecting`` next may get one that is connected to already. That connection is what
        ``connect``, or ``connect_async``, returns the first time; until then it is in the way of who drops or copies
        the clone.

        Raises ``ClientError`` when none can be made, and ``ServerError`` when the server is gone.
        """
        name, opened = self._live().take_for(connecting)
        return self._handle(name, read_only=False, opened=opened)

    def give_back(self, database: Database) -> None:
        """Done with this clone: its connections are ended and it is dropped, in the background.

        Nothing happens to one that is kept, shared, or not this process's.
        """
        database.disconnect()
        if not database.read_only:
            self._live().give_back(database.name)

    def shared(self) -> Database:
        """The one clone whose sessions only read (``default_transaction_read_only``). Raises as ``take`` does."""
        pool = self._live()
        with self._sharing:
            if self._shared is None:
                name = pool.take()
                pool.call(lambda client: clones.make_read_only(client, name))
                self._shared = self._handle(name, read_only=True)
            return self._shared

    def keep(self, database: Database) -> None:
        """Never drop this one."""
        self._live().keep(database.name)

    @property
    def timings(self) -> Timings:
        """What clones have cost this process so far."""
        return self._live().timings

    def close(self, *, drop: bool = True) -> None:
        """Stop the background work, and drop every clone that is not kept; quiet when the server is gone.

        Without ``drop`` clones are left to a server that is about to go.
        """
        self._live().close(drop=drop)

    def _handle(self, name: str, *, read_only: bool, opened: Opened | None = None) -> Database:
        conninfo = replace(self._seeded, database=name)
        return Database(conninfo, read_only=read_only, reset=self._reset, opened=opened)

    def _reset(self, database: Database) -> None:
        self._live().replace(database.name, read_only=database.read_only)

    def _live(self) -> Pool:
        """This process's pool: threads and connections are the process's that made them."""
        if self._pool.pid != os.getpid():
            self._pool = self._new_pool()
            self._sharing = threading.Lock()
            self._shared = None
        return self._pool

    def _new_pool(self) -> Pool:
        return Pool(self._control, self._seeded, self.options)
