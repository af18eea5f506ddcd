"""Our end of the conversation with ``inside.sh``, the first process in a server's container.

The engine's client holds the line. It ends when we do, and then so does the container: that is what leaves nothing
behind, whatever happens to us.
"""

from __future__ import annotations

import os
import select
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.errors import ServerError
from pg_ephemeral.process import Invocation, Overdue, ended, spawn

SCRIPT = Path(__file__).with_name("inside.sh").read_text(encoding="utf-8")

_LOG_LINES = 15

#: For the engine to remove a container whose script has ended, in seconds.
_END_TIMEOUT = 60.0


class Ended(ServerError):
    """The container, or the server in it, ended while something was expected of it."""


class Late(ServerError):
    """No answer came in time."""


class Inside:
    """A container in the foreground of an engine's client, and what its first process says.

    Raises ``ProcessError`` when the client cannot be started. Not safe for use by several threads.
    """

    def __init__(self, invocation: Invocation, *, log: Path) -> None:
        self.log = log
        self.log_start = 0
        with log.open("ab") as errors:
            self._client = spawn(invocation, stderr=errors)
        assert self._client.stdin is not None  # noqa: S101 -- spawn gives pipes
        assert self._client.stdout is not None  # noqa: S101 -- spawn gives pipes
        self._orders = self._client.stdin
        self._answers = self._client.stdout
        self._unread = b""
        #: Whether a server was started and has not been heard to end.
        self.serving = False
        self._started = False

    def expect(self, *answers: str, within: float) -> str:
        """Wait for one of these answers, at most ``within`` seconds; return which it was.

        Raises ``Ended`` when it will not come any more, ``Late`` for none in time, and ``ServerError`` for an error
        instead of it.
        """
        deadline = time.monotonic() + within
        while True:
            line = self._next_line(max(0.0, deadline - time.monotonic()))
            if line is None:
                if self.closed:
                    raise Ended("the container ended unexpectedly", detail=self.recent_log() or None)
                raise Late(f"no answer from inside the container within {within:g} s")
            word, _, rest = line.partition(" ")
            if word == "ended":
                self.serving = False
            if word in answers:
                return word
            if word == "error":
                raise ServerError(rest, detail=self.recent_log() or None)
            if word == "ended":
                raise Ended(f"the server ended with status {rest}", detail=self.recent_log() or None)

    def ended(self, within: float) -> bool:
        """Whether the server has ended, or does within that many seconds."""
        deadline = time.monotonic() + within
        while self.serving and not self.closed:
            line = self._next_line(max(0.0, deadline - time.monotonic()))
            if line is None:
                break
            if line.startswith("ended"):
                self.serving = False
        return self.closed or not self.serving

    @property
    def closed(self) -> bool:
        """Whether nothing more will be said: the container is gone, or as good as."""
        return self._answers.closed and b"\n" not in self._unread

    @property
    def status(self) -> int | None:
        """The exit status of the engine's client, once it is there."""
        return self._client.poll()

    def order(self, *words: str) -> None:
        """Give an order; nothing happens when nobody is there any more."""
        self._say(" ".join(words) + "\n")

    def file(self, name: str, text: str) -> None:
        """Make a file in the memory of the container, whose last line has an end."""
        lines = (f".{line}" if line.startswith(".") else line for line in text.removesuffix("\n").split("\n"))
        self._say("\n".join((f"file {name}", *lines, ".\n")))

    def start(self, words: Iterable[str]) -> None:
        """Run the server with these words for a command line."""
        # What was said before the first start is of the engine, which may have refused to run the container.
        self.log_start = self.log.stat().st_size if self._started else 0
        self._started = self.serving = True
        self.order("start", *map(quoted, words))

    def run(
        self,
        words: Iterable[str],
        *,
        variables: Mapping[str, str],
        text: bytes,
        line: Callable[[bytes], object],
        within: float | None,
    ) -> int:
        """Run a program on a text, which has no NUL; return its status. ``line`` gets its stderr, nobody its stdout.

        Raises ``Overdue`` when it has not ended in time; then it still runs. Raises ``Ended``.
        """
        self.file("input", text.decode(errors="surrogateescape"))
        self.order("run", *(quoted(f"{name}={value}") for name, value in variables.items()), "--", *map(quoted, words))
        deadline = time.monotonic() + (within or 0.0)
        while True:
            answer = self._next_line(None if within is None else max(0.0, deadline - time.monotonic()))
            if answer is None and self.closed:
                raise Ended("the container ended unexpectedly", detail=self.recent_log() or None)
            if answer is None:
                raise Overdue(f"a program in the container did not end within {within:g} s")
            word, _, rest = answer.partition(" ")
            if word == "said":
                line(rest.encode())
            elif word == "ended":
                # The program notices by itself.
                self.serving = False
            elif word == "done":
                return int(rest)

    def close(self, *, within: float = _END_TIMEOUT) -> bool:
        """End the container; whether the engine says that it has, and has removed it.

        Its client is killed if it does not end in that many seconds.
        """
        with suppress(OSError):
            self._orders.close()
        if not ended(self._client, within=within):
            self._client.kill()
            self._client.wait()
        self._answers.close()
        self.serving = False
        return self._client.returncode == 0

    def recent_log(self, lines: int = _LOG_LINES) -> str:
        """The last lines of what the server, or the engine's client, wrote since the last start."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.log_start)
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _say(self, text: str) -> None:
        with suppress(BrokenPipeError, ValueError):
            self._orders.write(text.encode(errors="surrogateescape"))
            self._orders.flush()

    def _next_line(self, within: float | None) -> str | None:
        """A line, or None when none came in time, if there is such a time, or none will come."""
        deadline = time.monotonic() + (within or 0.0)
        while b"\n" not in self._unread:
            if self._answers.closed:
                return None
            left = None if within is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._answers], [], [], left)
            if not ready:
                return None
            said = os.read(self._answers.fileno(), 4096)
            if not said:
                self._answers.close()
            self._unread += said
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")


def quoted(word: str) -> str:
    """A word for the shell, on one line whatever is in it; ``inside.sh`` knows ``$newline``."""
    return shlex.quote(word).replace("\n", "'\"$newline\"'")
