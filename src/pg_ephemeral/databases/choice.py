"""Which strategy to copy with: pure arithmetic over measured times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pg_ephemeral.postgres.clones import Strategy

#: How much the latest time counts in a strategy's mean.
_LATEST: Final = 0.3

#: A strategy that is not used is believed to be a little faster with every clone, so that one bad measurement, or a
#: machine that was busy then, is not for ever.
_FORGIVEN: Final = 0.98


class Choice:
    """Each strategy once, in the order given; then the one that has been the fastest of late."""

    def __init__(self, candidates: Iterable[Strategy]) -> None:
        self._seconds: dict[Strategy, float | None] = dict.fromkeys(candidates)

    def next(self) -> Strategy:
        """What to make the next clone with."""
        for strategy, seconds in self._seconds.items():
            if seconds is None:
                return strategy
        return min(self._seconds, key=self._known)

    @property
    def best(self) -> Strategy | None:
        """The fastest of those that were tried, or None before the first was."""
        tried = [strategy for strategy, seconds in self._seconds.items() if seconds is not None]
        return min(tried, key=self._known, default=None)

    def record(self, strategy: Strategy, seconds: float) -> None:
        """A clone made with this strategy took so long."""
        for other, known in self._seconds.items():
            if other is not strategy and known is not None:
                self._seconds[other] = known * _FORGIVEN
        if strategy not in self._seconds:
            return  # given up while this clone was made
        before = self._seconds[strategy]
        self._seconds[strategy] = seconds if before is None else before + (seconds - before) * _LATEST

    def give_up(self, strategy: Strategy) -> bool:
        """Never use this one again; False, and nothing changes, when there is no other."""
        if not self._seconds.keys() - {strategy}:
            return False
        self._seconds.pop(strategy, None)
        return True

    def _known(self, strategy: Strategy) -> float:
        seconds = self._seconds[strategy]
        return float("inf") if seconds is None else seconds
