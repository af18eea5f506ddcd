"""What a pool's callers and its threads share: the stock, who waits for what, and the lock. No server here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pg_ephemeral.databases.opened import Kind, Opened
from pg_ephemeral.databases.options import Options, Timings
from pg_ephemeral.databases.stock import Stock
from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres.client import Client


@dataclass(eq=False, slots=True, kw_only=True)
class Order:
    """What a caller waits for: a clone, or what ``call`` does. Once ``done`` it has a ``name`` or an ``error``.

    With ``wanted`` it may be an ``opened`` one. ``since`` is how many attempts had begun when it was made: what they
    come to is no answer to it.
    """

    since: int
    call: Callable[[Client], None] | None = None
    wanted: Kind | None = None
    name: str | None = None
    opened: Opened | None = None
    error: BaseException | None = None
    done: bool = field(default=False)


class Ledger:
    """Orders are served first come, first served. ``changed`` is the lock, and is notified of every change."""

    def __init__(self, options: Options) -> None:
        self.changed = threading.Condition()
        self.stock = Stock(options)
        self.waiting: deque[Order] = deque()
        self.calls: deque[Order] = deque()
        #: Whether to make clones: from when somebody asks for one until an attempt fails. What made it fail may be gone
        #: by the time the next asks, so that nobody is told who did not wait for that attempt.
        self.going = False
        self.closed = False
        self.timings = Timings()
        self._attempts = 0

    def wake(self) -> None:
        """Begin, or go on after a failure."""
        with self.changed:
            self.going = True
            self.changed.notify_all()

    def want(self, wanted: Kind | None) -> None:
        """What the last who asked wants to be connected with, the next will want, too."""
        with self.changed:
            self.stock.wanted = wanted

    def take(self, wanted: Kind | None = None) -> tuple[str, Opened | None]:
        """A clone that is ready, or else the next that is made. Raises what kept it from being made.

        For those who ``wanted`` it, there may be a connection to it, of whatever kind.
        """
        began = time.monotonic()
        with self.changed:
            self._refuse()
            self.going = True
            self.stock.taken_at = began
            order = Order(since=self._attempts, wanted=wanted)
            if self.stock.opened and wanted is not None:
                self._give(order, self.stock.opened.popleft())
            elif self.stock.ready and not self.waiting:
                self._give(order, self.stock.ready.popleft())
            else:
                self._await(order, self.waiting)
            if order.name is None:
                raise order.error or AssertionError("an order ended with nothing")
            waited = time.monotonic() - began
            known = self.timings
            self.timings = replace(
                known, takes=known.takes + 1, waited=known.waited + waited, longest=max(known.longest, waited)
            )
        return order.name, order.opened

    def call(self, do: Callable[[Client], None]) -> None:
        """Have this done on one of the pool's connections, before all other work. Raises what it raises."""
        with self.changed:
            self._refuse()
            self.going = True
            order = Order(since=self._attempts, call=do)
            self._await(order, self.calls)
            if order.error is not None:
                raise order.error

    def give_back(self, name: str, *, instead: str | None = None) -> None:
        """A caller is done with this one; with ``instead``, the database is by now called that."""
        with self.changed:
            if name in self.stock.kept or name not in self.stock.taken:
                return
            self.stock.taken.remove(name)
            self.stock.returned.append(instead or name)
            self.changed.notify_all()

    def begin(self) -> int:
        """The number of an attempt that begins now, to make a clone or what clones are made of."""
        with self.changed:
            self._attempts += 1
            return self._attempts

    def made(self, name: str) -> None:
        """There is a new clone: whoever waits longest has it."""
        with self.changed:
            self.stock.making -= 1
            self._hand_on(name)

    def connected(self, name: str, opened: Opened | None) -> None:
        """There is a connection to this clone; None: it cannot be had, and is not tried for until somebody wants it."""
        with self.changed:
            self.stock.connecting -= 1
            if opened is None:
                self.stock.wanted = None
            self._hand_on(opened or name)

    def fail(self, error: BaseException, attempt: int, *, calls: bool) -> None:
        """Tell those who waited for a clone when this attempt began, and with ``calls`` those who waited for a call.

        For whoever came later there is another one.
        """
        with self.changed:
            for queue in (self.waiting, self.calls) if calls else (self.waiting,):
                for order in [order for order in queue if order.since < attempt]:
                    queue.remove(order)
                    order.error, order.done = error, True
            self.going = bool(self.waiting or self.calls)
            self.changed.notify_all()

    def close(self) -> bool:
        """No more orders, and those that wait fail; False when that was so before."""
        with self.changed:
            if self.closed:
                return False
            self.closed = True
            self.fail(_closed(), self.begin(), calls=True)
            return True

    def _refuse(self) -> None:
        if self.closed:
            raise _closed()

    def _await(self, order: Order, queue: deque[Order]) -> None:
        queue.append(order)
        self.changed.notify_all()
        try:
            while not order.done:
                self.changed.wait()
        except BaseException:
            # Interrupted: what was made for us in this moment is for somebody else.
            if order.name is not None:
                self.stock.taken.discard(order.name)
                self._hand_on(order.opened or order.name)
            elif order in queue:
                queue.remove(order)
            raise

    def _hand_on(self, clone: str | Opened) -> None:
        """To whoever has waited longest, of those who may have it."""
        for order in self.waiting:
            if isinstance(clone, str) or order.wanted is not None:
                self.waiting.remove(order)
                self._give(order, clone)
                return
        if isinstance(clone, str):
            self.stock.ready.append(clone)
        else:
            self.stock.opened.append(clone)
        self.changed.notify_all()

    def _give(self, order: Order, clone: str | Opened) -> None:
        order.opened = None if isinstance(clone, str) else clone
        order.name = clone if isinstance(clone, str) else clone.name
        order.done = True
        self.stock.taken.add(order.name)
        self.changed.notify_all()


def _closed() -> ClientError:
    return ClientError("no database can be had any more: the Databases they come from are closed")
