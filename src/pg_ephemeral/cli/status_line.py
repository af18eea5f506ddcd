"""One line at the bottom of the terminal that says what is going on and for how long.

Programs that a seed runs write to the same terminal behind our back. So the line is not drawn where they write: the
terminal is told to scroll all rows but its last, and the last one is ours (DECSTBM). Whatever others write stays as it
is, unfinished lines included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from os import terminal_size

from pg_ephemeral.cli import output

#: Work that is done sooner than this, in seconds, draws nothing.
_PATIENCE = 0.4
_INTERVAL = 1.0
_LEAST_ROWS = 5

_SAVE = "\x1b7"
_RESTORE = "\x1b8"


def reserve(rows: int) -> str:
    """Take the last of ``rows`` out of the scrolling, leaving the cursor where it is, above it."""
    # Going down scrolls if the cursor is in the last row, and keeps its column; setting the margins would move it.
    return f"\x1bD\x1b[1A{_SAVE}\x1b[1;{rows - 1}r{_RESTORE}"


def draw(size: terminal_size, text: str) -> str:
    """Write ``text`` into the last row, cut to its width."""
    return f"{_SAVE}\x1b[{size.lines};1H\x1b[2K{text[: size.columns - 1]}{_RESTORE}"


def release(rows: int) -> str:
    """Empty the last row and let all rows scroll again."""
    return f"{_SAVE}\x1b[r\x1b[{rows};1H\x1b[2K{_RESTORE}"


class StatusLine:
    """Shows a text and the time since ``show``, until ``clear``. Both may be called again and again."""

    def __init__(
        self,
        *,
        write: Callable[[str], None] = output.to_stderr,
        size: Callable[[], terminal_size] = output.terminal_size,
        patience: float = _PATIENCE,
        interval: float = _INTERVAL,
    ) -> None:
        self._write = write
        self._size = size
        self._patience = patience
        self._interval = interval
        self._rows: int | None = None
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None
        self._more = ""

    def show(self, text: str) -> None:
        """Show ``text`` from now on."""
        self.clear()
        self._more = ""
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, args=(text, time.monotonic()), name="status", daemon=True)
        self._ticker.start()

    def add(self, more: str) -> None:
        """What to say after the text from the next time on that the line is drawn; from any thread."""
        self._more = f"  {more}"

    def clear(self) -> None:
        """Give the terminal back."""
        if self._ticker is not None:
            self._stop.set()
            self._ticker.join()
            self._ticker = None
        self._release()

    def _tick(self, text: str, began: float) -> None:
        pause = self._patience
        while not self._stop.wait(pause):
            pause = self._interval
            self._draw(f"{text}{self._more}  {time.monotonic() - began:.0f} s")

    def _draw(self, text: str) -> None:
        size = self._size()
        if self._rows is not None and self._rows != size.lines:
            self._release()
        if size.lines < _LEAST_ROWS:
            return
        reserved = "" if self._rows is not None else reserve(size.lines)
        self._rows = size.lines
        self._write(reserved + draw(size, text))

    def _release(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            self._write(release(rows))
