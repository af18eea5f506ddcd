"""The pipes of a running program: its input is fed and its output taken by turns, so that neither can block the other.

Only descriptors are known here, no programs.
"""

from __future__ import annotations

import errno
import os
import selectors
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO, TypeAlias

#: Gets output piece by piece.
Take: TypeAlias = Callable[[bytes], None]

_CHUNK = 1 << 16


class Input:
    """A pipe into a program, and what is to go there."""

    def __init__(self, pipe: IO[bytes], chunks: Iterable[bytes]) -> None:
        self.pipe = pipe
        #: Whether that is all sent, or nobody reads any more.
        self.ended = False
        self._chunks = _of_some_size(chunks)
        self._unsent = memoryview(b"")
        os.set_blocking(pipe.fileno(), False)

    def advance(self) -> None:
        """Write what the pipe takes; exceptions of the chunks go through."""
        try:
            self._unsent = self._unsent or memoryview(next(self._chunks, b""))
            self.ended = not self._unsent
            self._unsent = self._unsent[os.write(self.pipe.fileno(), self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.ended = True  # it stopped reading: its exit status says why

    def close(self) -> None:
        """The program reads the end."""
        self.pipe.close()


class Output:
    """A pipe out of a program, and who takes what comes; with ``by_lines``, whole lines."""

    def __init__(self, pipe: IO[bytes], take: Take, *, by_lines: bool = False) -> None:
        self.pipe = pipe
        #: Whether nothing more comes.
        self.ended = False
        self._take = take
        self._by_lines = by_lines
        self._begun: list[bytes] = []
        os.set_blocking(pipe.fileno(), False)

    def advance(self) -> None:
        """Take what is in the pipe, up to some size. Raises ``BlockingIOError`` if that is nothing."""
        try:
            data = os.read(self.pipe.fileno(), _CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # how a terminal says that nobody has its other end any more
        self.ended = not data
        if not self._by_lines:
            self._take(data)
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._take(b"".join([*self._begun, line, b"\n"]))
            self._begun.clear()
        self._begun.append(rest)

    def close(self) -> None:
        """Take nothing more; what has come of another line is one."""
        self.pipe.close()
        rest, self._begun = b"".join(self._begun), []
        if rest:
            self._take(rest)


def converse(source: Input, outputs: Sequence[Output], *, until: int, within: float | None = None) -> bool:
    """Feed and take until descriptor ``until`` has something to read; False when that takes more seconds than that."""
    deadline = None if within is None else time.monotonic() + within
    with selectors.DefaultSelector() as selector:
        selector.register(until, selectors.EVENT_READ)
        selector.register(source.pipe, selectors.EVENT_WRITE, source)
        for output in outputs:
            selector.register(output.pipe, selectors.EVENT_READ, output)
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            ready: list[Input | Output | None] = [key.data for key, _ in selector.select(left)]
            for end in ready:
                if end is not None:
                    _advance(end, selector)
            if None in ready:
                return True


def _advance(end: Input | Output, selector: selectors.BaseSelector) -> None:
    end.advance()
    if end.ended:
        selector.unregister(end.pipe)
        end.close()


def drain(outputs: Iterable[Output]) -> None:
    """Take what is in the pipes by now, whoever may still hold their other ends, and close them."""
    for output in outputs:
        with suppress(BlockingIOError):
            while not output.ended:
                output.advance()
        output.close()


def _of_some_size(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a system call; none is empty."""
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    if size:
        yield b"".join(gathered)
