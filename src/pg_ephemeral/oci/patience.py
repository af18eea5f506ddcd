"""How long we insist: trying again what may be passing, with growing pauses, a number of tries and a limit in time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Struct

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.state import State

__all__ = ["Deadline", "GivenUp", "Patience"]

_T = TypeVar("_T")


class GivenUp(RegistryError):
    """What may be passing, and was waited for long enough: no ``Patience`` tries it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Try ``tries`` times at most, with pauses that are ``limit`` seconds at most altogether, the first one ``pause``.

    What the tries themselves take does not count, for to move much takes long. Pauses double, and are shortened at
    random so that many processes do not come back together. A registry's ``Retry-After`` is obeyed when it fits the
    limit, and is the end of trying when it does not. Once ``stopped`` is set a pause ends and nothing is tried again;
    ``sleep`` pauses in another way.
    """

    tries: int = 5
    pause: float = 0.25
    limit: float = 60.0
    sleep: Callable[[float], object] | None = None
    clock: Callable[[], float] = time.monotonic
    stopped: threading.Event = field(default_factory=threading.Event, compare=False)

    def insist(
        self,
        work: Callable[[], _T],
        *,
        progress: Callable[[], int] = lambda: 0,
        also: Collection[State] = (),
    ) -> _T:
        """Do ``work`` until it succeeds, fails for good, or patience ends, which raises its last error.

        ``progress`` tells how far the work has come, in whatever unit: what went on since the last try is a new
        beginning, with all tries and all the time. ``also`` are states that may be passing for this work.
        """
        tried, waited, seen = 0, 0.0, progress()
        while True:
            try:
                return work()
            except RegistryError as error:
                if (now := progress()) > seen:
                    tried, waited, seen = 0, 0.0, now
                tried += 1
                wait = self._wait(error, tried)
                if not self._may_pass(error, also) or tried >= self.tries or waited + wait > self.limit:
                    raise
                waited += wait
                self._pause(wait)
                if self.stopped.is_set():
                    raise

    def _may_pass(self, error: RegistryError, also: Collection[State]) -> bool:
        return not isinstance(error, GivenUp) and (State(error.state).is_passing or error.state in also)

    def _wait(self, error: RegistryError, tried: int) -> float:
        pause = self.pause * 2.0 ** (tried - 1)
        return max(error.retry_after or 0.0, pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret

    def _pause(self, seconds: float) -> None:
        (self.sleep or self.stopped.wait)(seconds)


class Deadline(Struct, frozen=True, kw_only=True):
    """The end of a transfer that may take ``seconds``, on the clock of its ``Patience``."""

    seconds: float
    ends: float

    @classmethod
    def within(cls, seconds: float, patience: Patience) -> Deadline:
        """From now on."""
        return cls(seconds=seconds, ends=patience.clock() + seconds)

    def check(self, now: float, what: str) -> None:
        """Raise ``GivenUp`` (``down``) once it has passed."""
        if now > self.ends:
            raise self.passed(what)

    def passed(self, what: str) -> GivenUp:
        """The error that says so."""
        return GivenUp(f"{what}: not transferred within {self.seconds:g} s", state=State.DOWN)
