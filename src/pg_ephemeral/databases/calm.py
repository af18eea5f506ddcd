"""Whether others may be dropped while clones are made: pure arithmetic over measured times.

A drop right before a copy is the worst order there is on some file systems, which look at every file that was just
deleted when they make a new one. On most it costs nothing, and spares the end of a run.
"""

from __future__ import annotations

from typing import Final

from pg_ephemeral.postgres.clones import Strategy

#: How many copies made in peace make a measure, and how many times as long those among drops may take.
_MEASURE: Final = 3
_SLOWER: Final = 3.0

#: A copy counts as at most so many times as long: one that took a second, on a busy machine, is no measure.
_COUNTED: Final = 2 * _SLOWER

#: How much the latest copy counts in the mean.
_LATEST: Final = 0.2


class Calm:
    """Copies before the first drop are compared with those after it. One that was disturbed stays so."""

    def __init__(self) -> None:
        self._peace: dict[Strategy, list[float]] = {}
        self._among_drops = False
        self._slower = 1.0

    @property
    def lets_drop(self) -> bool:
        """Whether a drop does no harm to the copies that follow; False as long as there is no measure."""
        measured = any(len(seconds) >= _MEASURE for seconds in self._peace.values())
        return measured and self._slower < _SLOWER

    def copied(self, strategy: Strategy, seconds: float) -> None:
        """A copy made with this strategy took so long."""
        peace = self._peace.setdefault(strategy, [])
        if not self._among_drops:
            peace.append(seconds)
        elif peace and self._slower < _SLOWER:
            times = min(seconds * len(peace) / sum(peace), _COUNTED)
            self._slower += (times - self._slower) * _LATEST

    def dropped(self) -> None:
        """Something is dropped now."""
        self._among_drops = True
