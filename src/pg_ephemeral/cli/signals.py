"""SIGINT, SIGTERM and SIGHUP as exceptions of the main thread, so that every ``finally`` runs.

Only the command line installs them. The first signal ends the run; further ones are ignored, for what runs then is the
clean-up.
"""

from __future__ import annotations

import signal
from types import FrameType

from pg_ephemeral.errors import Interrupted

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """The handlers and the first signal they got."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> None:
        """Handle the signals, except one that our caller had us ignore, as nohup(1) does."""
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    @property
    def exit_code(self) -> int | None:
        """What a shell reports for the signal that ended us; None when there was none."""
        return None if self.received is None else 128 + self.received

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            return
        self.received = signal.Signals(number)
        if self.received is signal.SIGINT:
            raise KeyboardInterrupt
        raise Interrupted(number, self.received.name)
