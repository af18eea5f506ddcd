"""The threads of a pool, and their connections: they make what is wanted and clear away what is not."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from pg_ephemeral.databases import work
from pg_ephemeral.databases.choice import Choice
from pg_ephemeral.databases.ledger import Ledger, Order
from pg_ephemeral.databases.options import Options
from pg_ephemeral.databases.stock import Work
from pg_ephemeral.databases.template import Template, connect, prepare
from pg_ephemeral.errors import ClientError, PgEphemeralError, ServerError
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo

#: Where the connections are: the template is there by then, so that hardly anybody copies the first of them.
_HOMES: Final = ("postgres", "template1")

#: How often in a row a clone's connection may be lost while the server takes new ones.
_STUMBLES: Final = 8

_log = logging.getLogger(__name__)


class Crew:
    """As many threads as the pool may have connections. Whatever goes wrong in one reaches a caller."""

    def __init__(self, control: Conninfo, seeded: str, options: Options, ledger: Ledger) -> None:
        """Nothing is done yet."""
        self._control = control
        self._seeded = seeded
        self._options = options
        self._ledger = ledger
        self._stock = ledger.stock
        self._changed = ledger.changed
        self.names = (f"{options.prefix}_{secrets.token_hex(4)}_{number}" for number in itertools.count(1))
        self._connections: list[Client] = []
        self._threads: list[threading.Thread] = []
        self._template: Template | None = None
        self._choice = Choice(())
        self._preparing = False
        #: How many attempts in a row lost their connection.
        self._stumbles = 0

    def start(self) -> None:
        """Begin, if that is not under way. Returns at once."""
        with self._changed:
            if self._threads or self._ledger.closed:
                return
            for number in range(self._options.connections):
                thread = threading.Thread(target=self._live, name=f"pg-ephemeral-clones-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self, left: Callable[[], list[str]]) -> None:
        """End the threads of a closed ledger, drop the databases that are ``left`` then, and disconnect."""
        for thread in self._threads:
            thread.join()
        # Quiet when the server is gone, or goes meanwhile: so have the databases.
        with suppress(PgEphemeralError):
            if names := left():
                with self._connection() as client:
                    for name in names:
                        work.discard(client, self._control, name)
        for client in self._connections:
            client.close()

    def look_alive(self) -> None:
        """Is the server still there? To be asked before what is ready is handed out. Raises ``ServerError`` if not."""
        with self._changed:
            lost = [client for client in self._connections if client.lost()]
            for client in lost:
                self._connections.remove(client)
        if not lost:
            return
        for client in lost:
            client.close()
        try:
            client = connect(self._control, *_HOMES)
        except ClientError as error:
            with self._changed:
                self._stock.ready.clear()
            raise _explained(error) from error
        with self._changed:
            self._connections.append(client)

    def _live(self) -> None:
        while True:
            with self._changed:
                job = self._next()
                while job is None and not self._ledger.closed:
                    self._changed.wait(self._stock.quiet_in(time.monotonic()) or None)
                    job = self._next()
            if job is None:
                return
            job()

    def _next(self) -> Callable[[], None] | None:
        """What to do now, already counted as being done; None when there is nothing."""
        healthy = self._ledger.failure is None
        if self._ledger.closed or self._preparing:
            return None
        if self._template is None:
            self._preparing = healthy
            return self._prepare if healthy else None
        if self._ledger.calls:
            order = self._ledger.calls.popleft()
            return lambda: self._answer(order)
        waiting = len(self._ledger.waiting)
        match self._stock.next(waiting=waiting, now=time.monotonic(), makes=healthy):
            case Work.MAKE:
                self._stock.making += 1
                return self._make
            case Work.RETIRE:
                self._stock.cleaning += 1
                returned = self._stock.returned.popleft()
                return lambda: self._retire(returned)
            case Work.DROP:
                self._stock.cleaning += 1
                name = next(iter(self._stock.trash))
                del self._stock.trash[name]
                return lambda: self._discard(name)
            case None:
                return None

    def _prepare(self) -> None:
        began = time.monotonic()
        try:
            template = prepare(self._control, self._seeded)
        except BaseException as error:  # noqa: BLE001 -- carried to whoever waits
            with self._changed:
                self._preparing = False
                self._ledger.fail(_explained(error), calls=True)
            return
        with self._changed:
            strategy = self._options.strategy
            self._template = template
            self._choice = Choice(template.strategies if strategy is None else (strategy,))
            self._stock.clone_size = template.source.size
            self._stock.disk = work.disk_budget(self._options.disk, template)
            self._preparing = False
            self._ledger.timings = replace(self._ledger.timings, template=time.monotonic() - began)
            self._changed.notify_all()

    def _make(self) -> None:
        assert self._template is not None  # noqa: S101 -- nothing is made before it is there
        with self._changed:
            strategy = self._choice.next()
            name = next(self.names)
        try:
            with self._connection() as client:
                began = time.monotonic()
                clones.create(client, name, self._template.source, strategy, tablespace=self._options.tablespace)
                seconds = time.monotonic() - began
        except BaseException as error:  # noqa: BLE001 -- carried to whoever waits
            self._not_made(name, strategy, error)
            return
        with self._changed:
            self._stumbles = 0
            self._choice.record(strategy, seconds)
            known = self._ledger.timings
            self._ledger.timings = replace(
                known, clones=known.clones + 1, copying=known.copying + seconds, strategy=self._choice.best
            )
            self._ledger.made(name)

    def _not_made(self, name: str, strategy: clones.Strategy, error: BaseException) -> None:
        """Try again where that can help; else somebody is told."""
        code = error.sqlstate if isinstance(error, ClientError) else ""
        # Connections are also ended by callers who end all they find.
        again = code in clones.CONNECTION_LOST and self._reconnected()
        with self._changed:
            if code not in clones.CONNECTION_LOST and strategy is clones.Strategy.CLONE:
                again = self._choice.give_up(strategy)  # the file system cannot, or not from here to there
            unused = [*self._stock.trash, *self._stock.returned] if code == clones.DISK_FULL else []
            if unused:
                self._stock.trash.clear()
                self._stock.returned.clear()
        with suppress(PgEphemeralError):
            for old in unused:
                with self._connection() as client:
                    work.discard(client, self._control, old)
                again = True
        with self._changed:
            self._stock.making -= 1
            if code in clones.CONNECTION_LOST:
                self._stock.trash[name] = self._stock.clone_size  # it may have been made, for all we know
            if again:
                self._changed.notify_all()
                return
            told = _explained(error)
            if isinstance(told, ServerError):
                self._stock.ready.clear()
            self._ledger.fail(told, calls=False)

    def _reconnected(self) -> bool:
        """Whether the server still takes connections, and there is a point in trying again."""
        with self._changed:
            self._stumbles += 1
            if self._stumbles > _STUMBLES:
                return False
        with suppress(PgEphemeralError), self._connection():
            return True
        return False

    def _answer(self, order: Order) -> None:
        try:
            assert order.call is not None  # noqa: S101 -- only calls are put among the calls
            with self._connection() as client:
                order.call(client)
        except BaseException as error:  # noqa: BLE001 -- carried to the caller
            order.error = _explained(error)
        with self._changed:
            order.done = True
            self._changed.notify_all()

    def _retire(self, name: str) -> None:
        # One that could not be emptied is for the drop to force, or for the end.
        size = self._stock.clone_size
        with self._untold(name), self._connection() as client:
            size = work.retire(client, name)
        with self._changed:
            self._stock.cleaning -= 1
            self._stock.trash[name] = size
            self._changed.notify_all()

    def _discard(self, name: str) -> None:
        dropped = False
        with self._untold(name), self._connection() as client:
            work.discard(client, self._control, name)
            dropped = True
        with self._changed:
            self._stock.cleaning -= 1
            if not dropped:
                self._stock.stuck.append(name)
            self._changed.notify_all()

    @contextmanager
    def _untold(self, name: str) -> Iterator[None]:
        """Nobody waits for this database to go, and whoever makes clones meets the same trouble."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- a thread must not end by it
            _log.debug("database %s was not cleared away: %s", name, error)

    @contextmanager
    def _connection(self) -> Iterator[Client]:
        """A connection for one piece of work. One that ends with an error is not used again."""
        client = self._idle() or connect(self._control, *_HOMES)
        try:
            yield client
        except BaseException:
            client.close()
            raise
        with self._changed:
            self._connections.append(client)

    def _idle(self) -> Client | None:
        """A connection that still stands; those that do not are closed."""
        with self._changed:
            while self._connections:
                client = self._connections.pop()
                if not client.lost():
                    return client
                client.close()
            return None


def _explained(error: BaseException) -> BaseException:
    """The error for a caller: a lost connection, or one that could not be made, is the server's trouble."""
    if isinstance(error, ClientError) and error.sqlstate in clones.CONNECTION_LOST:
        gone = ServerError(f"the server cannot be reached to clone a database: {error.message}", detail=error.detail)
        gone.__cause__ = error
        return gone
    return error
