"""What a pool has and what to do next: counts, names and orders, without threads or a server.

Whoever uses it holds the pool's lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from pg_ephemeral.databases.opened import Kind, Opened
from pg_ephemeral.databases.options import Options

#: How many seconds without a taker make a good time to drop what is done with, where a drop slows copies down.
QUIET: Final = 2.0

#: How many databases with sessions that nobody ended yet are let be while there are clones to make.
_UNRETIRED: Final = 16


class Work(Enum):
    """What a thread of the pool can do: make a clone, connect to one, end the sessions of a used one, or drop one."""

    MAKE = auto()
    CONNECT = auto()
    RETIRE = auto()
    DROP = auto()


@dataclass(slots=True)
class Stock:
    """The pool's databases by what became of them. ``clone_size`` and ``disk`` are in bytes, times monotonic."""

    options: Options
    #: What a fresh clone takes, and what all that nobody uses may take.
    clone_size: int = 0
    disk: int = 0
    #: Ready to be taken.
    ready: deque[str] = field(default_factory=deque)
    #: The same, with a connection, for those who want one. Nobody else gets one of these: to connect can leave traces.
    opened: deque[Opened] = field(default_factory=deque)
    #: What the last who asked wants to be connected with; None: nothing, or that cannot be had.
    wanted: Kind | None = None
    #: In the hands of callers.
    taken: set[str] = field(default_factory=set)
    #: Exempt from dropping.
    kept: set[str] = field(default_factory=set)
    #: Given back, maybe still with sessions.
    returned: deque[str] = field(default_factory=deque)
    #: Without sessions, to be dropped, with their sizes.
    trash: dict[str, int] = field(default_factory=dict)
    #: What could not be dropped; tried again at the end.
    stuck: list[str] = field(default_factory=list)
    making: int = 0
    connecting: int = 0
    cleaning: int = 0
    #: When somebody last took a database.
    taken_at: float = 0.0
    _sweeping: bool = False

    def next(self, *, waiting: int, now: float, makes: bool = True, calm: bool = False) -> Work | None:
        """What to begin now, for ``waiting`` callers, or None.

        No clone unless this ``makes`` any; and when all is there that is wanted, a drop if that keeps ``calm``. Where
        it does, sessions are left to the drop to end, which is cheaper than to end them first.
        """
        crowded = len(self.returned) > _UNRETIRED and self.cleaning == 0
        if makes and not crowded:
            if waiting == 0 and self._wants_connection():
                return Work.CONNECT
            if self._wants_clone(waiting):
                return Work.MAKE
        if self.cleaning >= self._at_once:
            return None
        # Where connections are few, whoever tests needs them more than what is to be cleared away.
        full = self._over_budget()
        spare = self.options.connections > 0 or full
        idle = waiting == 0 and self.making == 0
        if calm and spare and (idle or crowded or full) and (self.returned or self.trash):
            return Work.DROP
        if self.returned and (crowded or (waiting == 0 and spare and not calm)):
            return Work.RETIRE
        if self.trash and (full or self.quiet_in(now) == 0):
            return Work.DROP
        return None

    def pop_unused(self, *, calm: bool) -> str:
        """What to drop when ``next`` says so."""
        if calm and self.returned:
            return self.returned.popleft()
        name = next(iter(self.trash))
        del self.trash[name]
        return name

    def quiet_in(self, now: float) -> float | None:
        """In how many seconds there may be something to drop; None when there is nothing."""
        return max(0.0, self.taken_at + QUIET - now) if self.trash else None

    def everything(self) -> list[str]:
        """What is to be dropped at the end."""
        opened = (one.name for one in self.opened)
        return [*self.ready, *opened, *(self.taken - self.kept), *self.returned, *self.trash, *self.stuck]

    @property
    def _at_once(self) -> int:
        """How many clones are made at a time, and how many cleared away."""
        return max(1, self.options.hands - 1)

    def _wants_connection(self) -> bool:
        wanted = self.options.connects and self.wanted is not None
        return wanted and bool(self.ready) and not self.opened and self.connecting == 0

    def _wants_clone(self, waiting: int) -> bool:
        if self.making >= self._at_once:
            return False
        made = len(self.ready) + self.making
        if made < waiting:
            return True
        # Beyond what callers wait for, only what there is room for.
        if self.wanted is not None:
            made += len(self.opened) + self.connecting
        return made - waiting < self.options.ready and self._used() + self.clone_size <= self.disk

    def _used(self) -> int:
        idle = len(self.ready) + len(self.opened) + self.connecting + self.making + len(self.returned)
        return idle * self.clone_size + sum(self.trash.values())

    def _over_budget(self) -> bool:
        """Whether to drop for room: from the moment there is none for another clone until half of it is free."""
        used = self._used()
        if used + self.clone_size > self.disk:
            self._sweeping = True
        elif used <= self.disk // 2:
            self._sweeping = False
        return self._sweeping
