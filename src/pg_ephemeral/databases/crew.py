"""The threads of a pool: they make what is wanted and clear away what is not."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from pg_ephemeral.databases import work
from pg_ephemeral.databases.calm import Calm
from pg_ephemeral.databases.choice import Choice
from pg_ephemeral.databases.connections import Connections, explained, is_lost
from pg_ephemeral.databases.ledger import Ledger, Order
from pg_ephemeral.databases.opened import Kind, Opened
from pg_ephemeral.databases.options import Options
from pg_ephemeral.databases.stock import Work
from pg_ephemeral.databases.template import Template, prepare
from pg_ephemeral.errors import ClientError, PgEphemeralError
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.conninfo import Conninfo

#: How often in a row a clone's connection may be lost while the server takes new ones.
_STUMBLES: Final = 8

_log = logging.getLogger(__name__)


class Crew:
    """As many threads as the pool has connections to work on, one at least. Whatever goes wrong reaches a caller."""

    def __init__(self, control: Conninfo, seeded: Conninfo, options: Options, ledger: Ledger) -> None:
        """Nothing is done yet."""
        self._control = control
        self._seeded = seeded
        self._options = options
        self._ledger = ledger
        self._stock = ledger.stock
        self._changed = ledger.changed
        self.names = _names(options.prefix)
        self._connections = Connections(control, keep=options.connections > 0)
        self._threads: list[threading.Thread] = []
        self._template: Template | None = None
        self._choice = Choice(())
        self._calm = Calm()
        self._preparing = False
        #: How many attempts in a row lost their connection.
        self._stumbles = 0

    def start(self) -> None:
        """Begin, if that is not under way. Returns at once."""
        with self._changed:
            if self._ledger.closed:
                return
            self._ledger.wake()
            if self._threads:
                return
            for number in range(max(1, self._options.hands)):
                thread = threading.Thread(target=self._live, name=f"pg-ephemeral-clones-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self, left: Callable[[], list[str]]) -> None:
        """End the threads of a closed ledger, drop the databases that are ``left`` then, and disconnect."""
        for thread in self._threads:
            thread.join()
        for opened in self._stock.opened:
            opened.close()
        self._drop_all(left())
        self._connections.close()

    def look_alive(self) -> None:
        """Is the server still there? To be asked before what is ready is handed out. Raises ``ServerError`` if not."""
        if self._connections.doubtful():
            with suppress(ClientError):  # whatever it has to say, it is there
                self._ledger.call(lambda _: None)

    def _live(self) -> None:
        while True:
            with self._changed:
                while not self._ledger.closed:
                    now = time.monotonic()
                    job = self._next(now)
                    if job is not None:
                        break
                    # What could be done now, but for others who do something, waits for them.
                    self._changed.wait(self._stock.quiet_in(now) or None)
                else:
                    return
            job()

    def _next(self, now: float) -> Callable[[], None] | None:
        """What to do now, already counted as being done; None when there is nothing."""
        if self._preparing:
            return None
        if self._template is None:
            self._preparing = self._ledger.going
            return self._prepare if self._preparing else None
        if self._ledger.calls:
            order = self._ledger.calls.popleft()
            return lambda: self._answer(order)
        going, calm = self._ledger.going, self._calm.lets_drop
        match self._stock.next(waiting=len(self._ledger.waiting), now=now, makes=going, calm=calm):
            case Work.MAKE:
                self._stock.making += 1
                return self._make
            case Work.CONNECT:
                self._stock.connecting += 1
                name, kind = self._stock.ready.popleft(), self._stock.wanted
                return lambda: self._connect(name, kind or Kind.SYNC)
            case Work.RETIRE:
                self._stock.cleaning += 1
                returned = self._stock.returned.popleft()
                return lambda: self._retire(returned)
            case Work.DROP:
                self._stock.cleaning += 1
                self._calm.dropped()
                name = self._stock.pop_unused(calm=calm)
                return lambda: self._discard(name)
            case None:
                return None

    def _prepare(self) -> None:
        began, attempt = time.monotonic(), self._ledger.begin()
        try:
            template = prepare(self._control, self._seeded.database, tablespace=self._options.tablespace)
        except BaseException as error:  # noqa: BLE001 -- carried to whoever waits
            with self._changed:
                self._preparing = False
                self._ledger.fail(explained(error), attempt, calls=True)
            return
        with self._changed:
            strategy = self._options.strategy
            self._template = template
            self._choice = Choice(template.strategies if strategy is None else (strategy,))
            self._stock.clone_size = template.source.size
            self._stock.disk = work.disk_budget(self._options, template.directory)
            self._preparing = False
            self._ledger.timings = replace(self._ledger.timings, template=time.monotonic() - began)
            self._changed.notify_all()

    def _make(self) -> None:
        assert self._template is not None  # noqa: S101 -- nothing is made before it is there
        with self._changed:
            strategy = self._choice.next()
            name = next(self.names)
            attempt = self._ledger.begin()
        try:
            with self._connections.one() as client:
                began = time.monotonic()
                clones.create(client, name, self._template.source, strategy, tablespace=self._options.tablespace)
                seconds = time.monotonic() - began
        except BaseException as error:  # noqa: BLE001 -- carried to whoever waits
            self._not_made(name, strategy, attempt, error)
            return
        with self._changed:
            self._stumbles = 0
            self._choice.record(strategy, seconds)
            self._calm.copied(strategy, seconds)
            known = self._ledger.timings
            self._ledger.timings = replace(
                known, clones=known.clones + 1, copying=known.copying + seconds, strategy=self._choice.best
            )
            self._ledger.made(name)

    def _not_made(self, name: str, strategy: clones.Strategy, attempt: int, error: BaseException) -> None:
        """Try again where that can help; else somebody is told."""
        lost, code = is_lost(error), error.sqlstate if isinstance(error, ClientError) else None
        again = False
        if lost:
            again = self._reconnected()  # connections are also ended by callers who end all they find
        elif code == clones.DISK_FULL:
            again = self._made_room()
        elif code is not None and strategy is clones.Strategy.CLONE:
            with self._changed:
                again = self._choice.give_up(strategy)  # the file system cannot, or not from here to there
        with self._changed:
            self._stock.making -= 1
            if lost:
                self._stock.trash[name] = self._stock.clone_size  # it may have been made, for all we know
            if again:
                self._changed.notify_all()
            else:
                self._ledger.fail(explained(error), attempt, calls=False)

    def _reconnected(self) -> bool:
        """Whether the server still takes connections, and there is a point in trying again."""
        with self._changed:
            self._stumbles += 1
            if self._stumbles > _STUMBLES:
                return False
        return self._connections.reachable()

    def _made_room(self) -> bool:
        """Drop what is done with; whether there was anything."""
        with self._changed:
            unused = [*self._stock.trash, *self._stock.returned]
            self._stock.trash.clear()
            self._stock.returned.clear()
        dropped = [self._dropped(name) for name in unused]
        return any(dropped)

    def _connect(self, name: str, kind: Kind) -> None:
        """Connect as whoever takes this clone would. Whether that can be done is for them to find out."""
        opened = None
        with self._untold(name):
            opened = Opened.ahead(replace(self._seeded, database=name), kind)
        self._ledger.connected(name, opened)

    def _answer(self, order: Order) -> None:
        try:
            assert order.call is not None  # noqa: S101 -- only calls are put among the calls
            with self._connections.one() as client:
                order.call(client)
        except BaseException as error:  # noqa: BLE001 -- carried to the caller
            order.error = explained(error)
        with self._changed:
            order.done = True
            self._changed.notify_all()

    def _retire(self, name: str) -> None:
        # One that could not be emptied is for the drop to force, or for the end.
        size = self._stock.clone_size
        with self._untold(name), self._connections.one() as client:
            size = work.retire(client, name)
        with self._changed:
            self._stock.cleaning -= 1
            self._stock.trash[name] = size
            self._changed.notify_all()

    def _discard(self, name: str) -> None:
        self._dropped(name)
        with self._changed:
            self._stock.cleaning -= 1
            self._changed.notify_all()

    def _dropped(self, name: str) -> bool:
        """Drop this one now. One that does not go is for the end to try again."""
        done = False
        with self._untold(name), self._connections.one() as client:
            work.discard(client, self._control, name)
            done = True
        if not done:
            with self._changed:
                self._stock.stuck.append(name)
        return done

    def _drop_all(self, names: Iterable[str]) -> None:
        """Drop these one by one, as long as the server is there; if it goes, so do they."""
        left, stumbles = deque(names), 0
        while left:
            try:
                with self._connections.one() as client:
                    work.discard(client, self._control, left[0])
            except PgEphemeralError as error:
                _log.debug("database %s was not dropped: %s", left[0], error)
                if is_lost(error):
                    stumbles += 1
                    if stumbles > _STUMBLES or not self._connections.reachable():
                        return
                    continue
            left.popleft()

    @contextmanager
    def _untold(self, name: str) -> Iterator[None]:
        """Nobody waits for what is done with this database, and whoever makes clones meets the same trouble."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- a thread must not end by it
            _log.debug("database %s was not cleared away, or not connected to: %s", name, error)


def _names(prefix: str) -> Iterator[str]:
    token = secrets.token_hex(4)
    return (f"{prefix}_{token}_{number}" for number in itertools.count(1))
