"""Our standard streams as a terminal: whether they are one, and its modes, for when a program cannot put them back."""

from __future__ import annotations

import os
import termios
from contextlib import suppress
from typing import Any

_STDIN, _STDOUT = 0, 1


def is_ours() -> bool:
    """Whether both are there that a terminal of its own takes: one for what is typed, one for what is shown."""
    return os.isatty(_STDIN) and os.isatty(_STDOUT)


def complete_descriptors() -> None:
    """Let standard streams that are closed lead nowhere, before a file of ours becomes one, or a child's does."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It takes the lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 -- it takes no keyword


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
