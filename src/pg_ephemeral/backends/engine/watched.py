"""An engine's command that takes long, and might ask for something that nobody is there to answer."""

from __future__ import annotations

import re

from pg_ephemeral.errors import ProcessError
from pg_ephemeral.process import Completed, Invocation, guarded, show

#: What is kept of each stream, in bytes, from its end.
_TAIL = 64 * 1024


class Prompted(ProcessError):
    """A program was ended because it asked for something that nobody was there to answer."""


def watched(invocation: Invocation, *, timeout: float, prompt: re.Pattern[bytes], shown: bool = False) -> Completed:
    """Run a program without stdin to its end, ``timeout`` seconds at most, and return the end of what it printed.

    With ``shown`` it goes to our stderr as well, but for complaints, which are the caller's to tell. Raises
    ``ProcessError`` when it cannot be started, ``Overdue`` when it does not end in time, and ``Prompted`` as soon as
    its stdout has ``prompt``.
    """
    stdout, stderr = bytearray(), bytearray()

    def look(piece: bytes) -> None:
        _keep(stdout, piece)
        if shown:
            show(piece)
        if prompt.search(stdout):
            asked = bytes(stdout).decode(errors="replace").strip().splitlines()[-1]
            raise Prompted(f"{invocation.program} asks, and nobody is there to answer: {asked}")

    def hear(line: bytes) -> None:
        _keep(stderr, line)
        if shown and not line.lower().startswith(b"error"):
            show(line)

    status = guarded(invocation, stdout=look, line=hear, timeout=timeout, terminal=shown)
    return Completed(status=status, stdout=bytes(stdout), stderr=bytes(stderr))


def _keep(kept: bytearray, piece: bytes) -> None:
    kept += piece
    del kept[:-_TAIL]
