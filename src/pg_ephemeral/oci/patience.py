"""How long we insist: trying again what may be passing, with growing pauses, a number of tries and a limit in time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.state import State

__all__ = ["Deadline", "Patience"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Try ``tries`` times at most, and begin no try after ``limit`` seconds; the first pause is ``pause`` seconds.

    Pauses double, and are shortened at random so that many processes do not come back together. A registry's
    ``Retry-After`` is obeyed when it fits the limit, and is the end of trying when it does not.
    """

    tries: int = 5
    pause: float = 0.25
    limit: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def insist(
        self, work: Callable[[], _T], *, progress: Callable[[], int] = lambda: 0, also: Collection[State] = ()
    ) -> _T:
        """Do ``work`` until it succeeds, fails for good, or patience ends, which raises its last error.

        ``progress`` tells how far the work has come, in whatever unit: what went on since the last try is a new
        beginning, with all tries and all the time. ``also`` are states that may be passing for this work.
        """
        begun, tried, seen = self.clock(), 0, progress()
        while True:
            try:
                return work()
            except RegistryError as error:
                if (now := progress()) > seen:
                    begun, tried, seen = self.clock(), 0, now
                tried += 1
                wait = self._wait(error, tried)
                passing = State(error.state).is_passing or error.state in also
                if tried >= self.tries or not passing or self._late(begun, wait):
                    raise
            self.sleep(wait)

    def _wait(self, error: RegistryError, tried: int) -> float:
        pause = self.pause * 2.0 ** (tried - 1)
        return max(error.retry_after or 0.0, pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret

    def _late(self, begun: float, wait: float) -> bool:
        return self.clock() + wait > begun + self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The end of a transfer that may take ``seconds``, on the clock of its ``Patience``."""

    seconds: float
    ends: float

    def check(self, now: float, what: str) -> None:
        """Raise ``RegistryError`` (``down``) once it has passed."""
        if now > self.ends:
            raise RegistryError(f"{what}: not transferred within {self.seconds:g} s", state=State.DOWN)
