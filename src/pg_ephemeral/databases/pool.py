"""Clones that are made before they are wanted and dropped when nobody waits: names in, names out, for one process."""

from __future__ import annotations

import os
from collections.abc import Callable

from pg_ephemeral.databases import work
from pg_ephemeral.databases.crew import Crew
from pg_ephemeral.databases.ledger import Ledger
from pg_ephemeral.databases.opened import Kind, Opened
from pg_ephemeral.databases.options import Options, Timings
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo


class Pool:
    """Safe for several threads; of no use to a process that was forked from its own, ``pid``."""

    def __init__(self, control: Conninfo, seeded: Conninfo, options: Options) -> None:
        """Nothing is done yet."""
        self.pid = os.getpid()
        self._ledger = Ledger(options)
        self._crew = Crew(control, seeded, options, self._ledger)

    def start(self) -> None:
        """Begin to make clones, if that is not under way. Returns at once."""
        self._crew.start()

    def take(self) -> str:
        """A fresh clone for the caller alone. Raises ``ClientError``, and ``ServerError`` when the server is gone."""
        self._crew.start()
        self._crew.look_alive()
        return self._ledger.take()[0]

    def take_for(self, wanted: Kind | None) -> tuple[str, Opened | None]:
        """The same for a caller who ``wanted`` such a connection: maybe with one, of the kind that was wanted last."""
        self._ledger.want(wanted)
        self._crew.start()
        self._crew.look_alive()
        return self._ledger.take(wanted)

    def give_back(self, name: str) -> None:
        """The caller is done with this one; it goes when there is time. Returns at once."""
        self._ledger.give_back(name)

    def keep(self, name: str) -> None:
        """Never drop this one."""
        with self._ledger.changed:
            self._ledger.stock.kept.add(name)

    def replace(self, name: str, *, read_only: bool) -> None:
        """Put a fresh clone in the place of this one, whose sessions are ended. Raises as ``take`` does.

        Then the database is as it was, but for its sessions.
        """
        fresh = self.take()
        with self._ledger.changed:
            aside = next(self._crew.names)
        try:
            self.call(lambda client: work.swap(client, name, fresh, aside, read_only=read_only))
        except BaseException:
            with self._ledger.changed:
                self._ledger.stock.stuck.append(aside)  # should it still be called that
            self._ledger.give_back(fresh)
            raise
        self._ledger.give_back(fresh, instead=aside)

    def call(self, do: Callable[[Client], None]) -> None:
        """Do this on a connection of the pool, before all other work. Raises what it raises, and as ``take`` does."""
        self._crew.start()
        self._ledger.call(do)

    def close(self, *, drop: bool) -> None:
        """Stop the threads, and ``drop`` what is left but for what is kept. Never raises for a server that is gone."""
        if self._ledger.close():
            self._crew.stop(self._ledger.stock.everything if drop else list)

    @property
    def timings(self) -> Timings:
        """What clones have cost so far."""
        return self._ledger.timings
