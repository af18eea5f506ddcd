"""Signals that are the business of a program we wrap: how they reach it, and not us."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Self, TypeAlias

#: Sends a signal of this number.
Tell: TypeAlias = Callable[[int], None]


class Relay:
    """For the block, SIGTERM and SIGHUP go on to a child, and SIGINT is left to the terminal, which tells it itself."""

    def __init__(self, *, deaf: bool = False) -> None:
        #: The number of the first signal.
        self.first: int | None = None
        self._deaf = deaf
        self._tell: Tell | None = None
        self._early: list[int] = []
        self._saved: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        interrupt = self._hand if self._deaf else self._leave
        handlers = {signal.SIGINT: interrupt, signal.SIGTERM: self._hand, signal.SIGHUP: self._hand}
        self._saved = _handle(handlers)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._saved)

    def hand_to(self, tell: Tell) -> None:
        """The child is there to be told; what came while it was being started goes to it, too."""
        self._tell = tell
        for number in self._early:
            self._hand_on(tell, number)

    def _hand(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        if self._tell is None:
            self._early.append(number)
        else:
            self._hand_on(self._tell, number)

    def _hand_on(self, tell: Tell, number: int) -> None:
        tell(signal.SIGKILL if self._deaf else number)

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        """Do nothing; unlike SIG_IGN, a Python handler is not inherited through exec."""


def _handle(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]]) -> dict[signal.Signals, Any]:
    """Handle these signals so; return what was done about them before, for ``_restore``."""
    saved: dict[signal.Signals, Any] = {}
    for number, handler in handlers.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup(1) means the programs we start as well
        try:
            saved[number] = signal.signal(number, handler)
        except ValueError:
            break  # not the main thread: signals are the caller's own business
    return saved


def _restore(saved: Mapping[signal.Signals, Any]) -> None:
    for number, handler in saved.items():
        signal.signal(number, handler)
