"""A process's share in a server: found or started with ``join``, held by one connection, given up with ``close``."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import ServerError
from pg_ephemeral.process import Invocation, spawn
from pg_ephemeral.shared_server import place
from pg_ephemeral.shared_server.facts import Facts, Kept
from pg_ephemeral.shared_server.messages import Lines, encode, pack, to_error

#: How long the last member waits for the server to be gone, in seconds.
_FAREWELL = 30.0
_LAST_LINES = 15


class Member:
    """A connection to a holder, and the server it holds. Not safe for use by several threads."""

    def __init__(self, connection: socket.socket, directory: Path) -> None:
        """Wait until the server is there. Raises ``ServerError`` with what the holder says of a boot that failed."""
        self.directory = directory
        self._lines = Lines(connection)
        try:
            said = self._lines.read()
        except OSError:
            said = None
        if said is None:
            raise ServerError(
                "the process that holds the server for this run ended before the server was ready",
                detail=_last_words(directory),
            )
        if "error" in said:
            raise to_error(said)
        #: The holder's process id.
        self.pid = int(said["pid"])
        self.facts = Facts.from_json(said["ready"])

    @property
    def alive(self) -> bool:
        """Whether the holder still is."""
        connection = self._lines.connection
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def keep(self, database: str, *, limit: int, minutes: float) -> bool:
        """Ask for the server to stay for so many minutes after the last member, for the sake of this database.

        False when it was asked for ``limit`` databases already, or when the holder is gone.
        """
        try:
            self._lines.connection.sendall(encode({"keep": database, "limit": limit, "minutes": minutes}))
            said = self._lines.read()
        except OSError:
            return False
        return said is not None and bool(said["kept"])

    def kept(self, minutes: float) -> Kept:
        """What there is to know of the server after the run."""
        return Kept(pid=self.pid, directory=self.directory, minutes=minutes)

    def close(self) -> None:
        """Give the server up; the last one to do so waits until it is gone. Does nothing the second time."""
        connection = self._lines.connection
        if connection.fileno() < 0:
            return
        killed = not self.alive
        connection.settimeout(_FAREWELL)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        connection.close()
        if killed:
            place.await_end(self.directory)
        # Not by connecting: for as long as that lasts we would be a member, and whoever waits for the end be let go.
        if place.abandoned(self.directory):
            with place.coming_and_going():
                place.sweep()


def join(definition: Definition, *, run: str) -> Member:
    """A share in the server of the run with this unique name; the first process to ask starts it, the others wait.

    Raises ``ServerError``: the boot failed, as every member is told in the same words, or the holder was killed.
    Raises ``ProcessError`` and ``CacheError`` when it cannot even be started.
    """
    directory = place.directory_of(run, definition)
    with place.coming_and_going():
        connection = place.connect(directory)
        if connection is None:
            place.sweep()
            connection = _start(definition, directory)
    return _entered(connection, directory)


def visit(directory: Path) -> Member | None:
    """A share in the server that is held there, or None."""
    with place.coming_and_going():
        connection = place.connect(directory)
    return None if connection is None else _entered(connection, directory)


def _entered(connection: socket.socket, directory: Path) -> Member:
    try:
        return Member(connection, directory)
    except BaseException as error:
        connection.close()
        # If the holder was killed, nobody else will remove what it left.
        if isinstance(error, ServerError):
            place.await_end(directory)
        with place.coming_and_going():
            place.sweep()
        raise


def _start(definition: Definition, directory: Path) -> socket.socket:
    """Start a holder and connect to it as soon as it listens; it is neither our child's child nor waited for."""
    content = pack(definition)
    # -P: a module of the project must not stand in for one of Python's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    argv = (sys.executable, "-P", "-m", "pg_ephemeral.shared_server", str(directory))
    child = spawn(Invocation(argv=argv, env=environment))
    assert child.stdin is not None  # noqa: S101 -- spawn gives pipes
    assert child.stdout is not None  # noqa: S101 -- spawn gives pipes
    with child.stdin, child.stdout:
        with suppress(BrokenPipeError):
            child.stdin.write(content)
            child.stdin.close()
        said = child.stdout.read().decode(errors="replace")
    # It outlives us on purpose, and when it does not, the kernel has its status.
    child.returncode = 0
    connection = place.connect(directory) if said == "listening\n" else None
    if connection is None:
        raise ServerError(
            "the process that is to hold the server for this run did not start",
            detail=said.strip() or None,
            hint=f"try it: {sys.executable} -P -m pg_ephemeral.shared_server",
        )
    return connection


def _last_words(directory: Path) -> str | None:
    try:
        text = (directory / place.ERRORS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return "\n".join(text.splitlines()[-_LAST_LINES:]) or None
