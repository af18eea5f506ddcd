"""The modes of the terminal on standard input, kept for when a program that changed them cannot put them back."""

from __future__ import annotations

import os
import termios
from contextlib import suppress
from typing import Any

_STDIN = 0


class Modes:
    """What they were when this was made; nothing, without a terminal."""

    def __init__(self) -> None:
        self._saved: list[Any] | None = None
        with suppress(termios.error, OSError):
            self._saved = termios.tcgetattr(_STDIN)

    def restore(self) -> None:
        """Have them as they were, unless the terminal is somebody else's by now."""
        if self._saved is not None and not _in_background():
            with suppress(termios.error, OSError):
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._saved)


def _in_background() -> bool:
    """Whether to change anything would stop us (SIGTTOU)."""
    try:
        return os.tcgetpgrp(_STDIN) != os.getpgrp()
    except OSError:
        return False  # it is not the terminal that our keys come from
