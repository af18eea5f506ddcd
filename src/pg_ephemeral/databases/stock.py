"""What a pool has and what to do next: counts, names and orders, without threads or a server.

Whoever uses it holds the pool's lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from pg_ephemeral.databases.options import Options

#: How many seconds without a taker make a good time to drop what is done with, where a drop slows copies down.
QUIET: Final = 2.0

#: How many databases with sessions that nobody ended yet are let be while there are clones to make.
_UNRETIRED: Final = 16


class Work(Enum):
    """What a thread of the pool can do: make a clone, end the sessions of one that is done with, or drop one."""

    MAKE = auto()
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
    cleaning: int = 0
    #: When somebody last took a database.
    taken_at: float = 0.0
    _sweeping: bool = False

    def next(self, *, waiting: int, now: float, makes: bool = True, calm: bool = False) -> Work | None:
        """What to begin now, for ``waiting`` callers, or None.

        No clone unless this ``makes`` any; and when all is there that is wanted, a drop if that keeps ``calm``.
        """
        crowded = len(self.returned) > _UNRETIRED and self.cleaning == 0
        if makes and not crowded and self._wants_clone(waiting):
            return Work.MAKE
        if self.cleaning >= max(1, self.options.connections - 1):
            return None
        # Where connections are few, whoever tests needs them more than what is to be cleared away.
        spare = self.options.connections > 0 or self._over_budget()
        if self.returned and (crowded or (waiting == 0 and spare)):
            return Work.RETIRE
        idle = calm and waiting == 0 and self.making == 0
        if self.trash and (idle or self._over_budget() or self.quiet_in(now) == 0):
            return Work.DROP
        return None

    def quiet_in(self, now: float) -> float | None:
        """In how many seconds there may be something to drop; None when there is nothing."""
        return max(0.0, self.taken_at + QUIET - now) if self.trash else None

    def everything(self) -> list[str]:
        """What is to be dropped at the end."""
        return [*self.ready, *(self.taken - self.kept), *self.returned, *self.trash, *self.stuck]

    def _wants_clone(self, waiting: int) -> bool:
        if self.making >= max(1, self.options.connections - 1):
            return False
        if len(self.ready) + self.making < waiting:
            return True
        # Beyond what callers wait for, only what there is room for.
        return len(self.ready) + self.making - waiting < self.options.ready and self._used() + self.clone_size <= (
            self.disk
        )

    def _used(self) -> int:
        idle = len(self.ready) + self.making + len(self.returned)
        return idle * self.clone_size + sum(self.trash.values())

    def _over_budget(self) -> bool:
        """Whether to drop for room: from the moment there is none for another clone until half of it is free."""
        used = self._used()
        if used + self.clone_size > self.disk:
            self._sweeping = True
        elif used <= self.disk // 2:
            self._sweeping = False
        return self._sweeping
