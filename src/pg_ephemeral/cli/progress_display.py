"""Long work on stderr: a line for each step, a closing line, and on a terminal a line that counts the seconds.

Lines only say what the library's events say; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pg_ephemeral.cli import output
from pg_ephemeral.cli.status_line import StatusLine
from pg_ephemeral.progress import (
    ClusterStarted,
    Event,
    Finished,
    Note,
    Progress,
    SeedFinished,
    SeedStarted,
    TransferFinished,
    Transferring,
    TransferStarted,
    Waiting,
    silent,
)


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Progress]:
    """A ``progress`` for the library, for the block; afterwards the terminal is as it was."""
    if quiet:
        yield silent
        return
    display = ProgressDisplay(StatusLine() if output.on_terminal() else None)
    try:
        yield display
    finally:
        display.close()


class ProgressDisplay:
    """Shows events. Without a status line, the start of each step has a line of its own."""

    def __init__(self, status_line: StatusLine | None) -> None:
        self._status_line = status_line
        self._place = ""

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case ClusterStarted():
                self._begin(f"making an empty cluster, PostgreSQL {event.version}")
            case SeedStarted():
                self._place = f"[{event.position}/{event.total}] {event.name}"
                self._begin(f"{self._place} ({event.kind})")
            case SeedFinished():
                done = "built" if event.cached else "replayed"
                self._end(f"{self._place} {done} in {output.duration(event.seconds)}")
            case Waiting():
                self._begin(f"waiting for another process, which is making {event.name}")
            case TransferStarted():
                direction = f"pushing {event.name} to" if event.push else f"pulling {event.name} from"
                self._begin(f"{direction} {event.registry}")
            case Transferring():
                self._add(event)
            case TransferFinished():
                done = "pushed" if event.push else "pulled"
                size = f", {output.size(event.sent)} sent" if event.sent is not None else ""
                self._end(f"{event.name} {done} in {output.duration(event.seconds)}{size}")
            case Note():
                self.close()
                output.progress(f"{'warning: ' if event.warning else ''}{event.text}")
            case Finished():
                self._end(closing_line(event))

    def close(self) -> None:
        """Give the terminal back, however the work ended."""
        if self._status_line is not None:
            self._status_line.clear()

    def _begin(self, what: str) -> None:
        if self._status_line is None:
            output.progress(f"{what} …")
        else:
            self._status_line.show(what)

    def _add(self, event: Transferring) -> None:
        """How far a transfer is; only a terminal is told, for others have no use for it afterwards."""
        if self._status_line is not None and event.total:
            self._status_line.add(f"{output.size(event.done)} of {output.size(event.total)}")

    def _end(self, line: str) -> None:
        self.close()
        output.progress(line)


def closing_line(event: Finished) -> str:
    """``main: ready in 0.31 s (2 built, 3 reused, 1 replayed)``."""
    counts = output.counted(((event.built, "built"), (event.reused, "reused"), (event.replayed, "replayed")))
    what = "ready" if event.booted else "cache populated"
    return f"{event.instance}: {what} in {output.duration(event.seconds)} ({counts or 'no seeds'})"
