"""The keeper: a small shell process that owns one PostgreSQL server and does not let it outlive us.

It holds the reading end of a pipe whose only writer is this process. When the pipe closes without a word, however we
ended, it stops the server at once and removes the server's directories. The script is ``keeper.sh``.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pg_ephemeral.postgres.account import Account
from pg_ephemeral.process import Invocation, spawn

_SCRIPT = Path(__file__).with_name("keeper.sh").read_text(encoding="utf-8")

#: How long a server may take to hear that it is to stop at once, in seconds, until it is told again.
_AGAIN = 0.1

Order = Literal["INT", "QUIT"]


class Keeper:
    """A server program, running since this was made, and its guardian.

    ``INT`` asks PostgreSQL for a fast, clean shutdown and ``QUIT`` for an immediate one (PostgreSQL manual, "Shutting
    Down the Server"). Raises ``ProcessError`` when nothing can be started.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        *,
        account: Account,
        log: Path,
        run: Path,
        sockets: Path,
        environment: Mapping[str, str],
    ) -> None:
        shell = ("sh", "-c", _SCRIPT, "pg-ephemeral-keeper", str(log), str(run), str(sockets))
        self._process = spawn(
            Invocation(argv=(*shell, *account.prefix, *argv), env=environment, cwd=Path("/")),
            user=account.uid,
            group=account.gid,
        )
        assert self._process.stdin is not None  # noqa: S101 -- spawn gives pipes
        assert self._process.stdout is not None  # noqa: S101 -- spawn gives pipes
        self._orders = self._process.stdin
        self._report = self._process.stdout
        self._said = b""

    def ended(self, within: float | None = 0.0) -> bool:
        """Whether the server has ended; wait up to ``within`` seconds (None: for good) for that."""
        while b"\n" not in self._said:
            if not self._hear(within):
                return self._report.closed
        return True

    def order(self, order: Order) -> None:
        """Send the server a signal; does nothing when it has ended."""
        with suppress(BrokenPipeError, ValueError):
            self._orders.write(f"{order}\n".encode())
            self._orders.flush()

    def quit(self) -> None:
        """Have the server stop at once, and wait for that."""
        self.order("QUIT")
        # One that was only just started may not have its handlers yet, so it is told until it has heard.
        while not self.ended(within=_AGAIN):
            self.order("QUIT")

    def dismiss(self, *, clean_up: bool) -> None:
        """End the keeper and wait for it; with ``clean_up`` it stops the server and removes the directories first."""
        if not clean_up:
            with suppress(BrokenPipeError, ValueError):
                self._orders.write(b"done\n")
        with suppress(BrokenPipeError):
            self._orders.close()
        self._process.wait()
        self._report.close()

    def _hear(self, within: float | None) -> bool:
        """Read what the keeper says, waiting up to ``within`` seconds; False when nothing came or nothing will."""
        if self._report.closed:
            return False
        ready, _, _ = select.select([self._report], [], [], within)
        if not ready:
            return False
        said = os.read(self._report.fileno(), 64)
        if not said:
            self._report.close()
        self._said += said
        return bool(said)
