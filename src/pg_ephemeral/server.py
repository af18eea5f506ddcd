"""A running PostgreSQL, for the two who use it: callers, and the seeds that are applied to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pg_ephemeral.backends.base import Handle
from pg_ephemeral.definition import Definition
from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.environment import client_environment
from pg_ephemeral.process import Invocation

if TYPE_CHECKING:
    import psycopg

    from pg_ephemeral.databases import Database, Databases


class Server:
    """A running server with its seeds applied. It lives as long as the ``boot`` block that gave it.

    The address is a TCP port on loopback, the role a superuser with a password made for this server.
    """

    def __init__(self, handle: Handle, definition: Definition) -> None:
        self._handle = handle
        self._databases: Databases | None = None
        self.definition = definition

    @property
    def conninfo(self) -> Conninfo:
        """How to connect, as one value; it renders as URL, environment, keywords and JSON."""
        return self._handle.conninfo

    @property
    def control(self) -> Conninfo:
        """The superuser's connection by the fastest way from this process: the unix socket, where there is one."""
        return self._handle.control

    @property
    def log_file(self) -> Path | None:
        """Where the server logs to, if that is a file here."""
        return self._handle.log_file

    @property
    def programs(self) -> Path | None:
        """The directory of the server's own client programs, if they are on this host."""
        return self._handle.programs

    @property
    def url(self) -> str:
        """The connection URL, password included."""
        return self.conninfo.url

    def env(self) -> dict[str, str]:
        """The libpq variables and ``DATABASE_URL`` of this server, and nothing else."""
        return {**self.conninfo.env(), "DATABASE_URL": self.url}

    def environment(self) -> dict[str, str]:
        """A whole environment for a program: ours without any libpq variable, plus ``env()``.

        The server's own client programs come first on its ``PATH``.
        """
        return client_environment(self.conninfo, path_first=self._handle.programs)

    def connect(self, **keywords: Any) -> psycopg.Connection[Any]:
        """Connect with psycopg, as the superuser and in autocommit mode unless ``keywords`` say otherwise.

        ``keywords`` are those of ``psycopg.connect``. Raises ``ClientError``.
        """
        return client.connect_raw(self.conninfo, **{"autocommit": True, **keywords})

    @property
    def contained(self) -> bool:
        """Whether the server, and what runs beside it, is in a container."""
        return self._handle.contained

    def program(self, argv: Sequence[str], *, directory: Path | None = None, tty: bool = False) -> Invocation:
        """A program beside the server, ready to connect to it: in its container, or here if there is none.

        With ``directory``, one of those given to ``boot``, it runs there and as the calling user. ``tty`` gives it a
        terminal of its own.
        """
        return self._handle.program(argv, directory=directory, tty=tty)

    @property
    def databases(self) -> Databases:
        """Clones of the seeded database, and the pool that makes them ahead; it begins with the first that is taken."""
        if self._databases is None:
            from pg_ephemeral.databases import Databases

            self._databases = Databases(self.control, self.conninfo)
        return self._databases

    @contextmanager
    def database(self, *, read_only: bool = False) -> Iterator[Database]:
        """A clone of the seeded database for the block, in milliseconds: its own content, its own ``conninfo``.

        With ``read_only``, the one clone that everybody shares. To make the first, all sessions of the seeded database
        are ended once. Raises ``ClientError``, and ``ServerError`` when the server is gone.
        """
        with self.databases.database(read_only=read_only) as database:
            yield database

    def close(self) -> None:
        """Stop making clones. For ``boot``, whose server goes next."""
        if self._databases is not None:
            self._databases.close(drop=False)

    def recent_log(self) -> str:
        """The last lines the server logged."""
        return self._handle.recent_log()

    @property
    def running(self) -> bool:
        """Whether the server still runs."""
        return self._handle.running

    def __repr__(self) -> str:
        return f"<Server {self.definition.instance} at {self.conninfo.endpoint}>"


class SeedTarget:
    """The server as seeds see it: connected the fastest way, programs run in the config file's directory."""

    def __init__(self, handle: Handle, definition: Definition) -> None:
        self._handle = handle
        self._definition = definition

    @property
    def conninfo(self) -> Conninfo:
        """By unix socket where there is one."""
        return self._handle.control

    @property
    def directory(self) -> Path:
        """Where programs run."""
        return self._definition.directory

    def client_environment(self) -> dict[str, str]:
        """What a host program gets: the same as a caller's, by TCP."""
        return client_environment(self._handle.conninfo, path_first=self._handle.programs)

    def tool(self, name: str, *arguments: str) -> Invocation:
        """A client program of the server's own version."""
        return self._handle.tool(name, *arguments, directory=self._definition.directory)

    def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:
        """Such a program on a short text, where there is a faster way."""
        return self._handle.feed(name, *arguments, text=text, line=line, timeout=timeout)

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:
        """A script where the server's files are, as root, with the server stopped."""
        self._handle.run_script(script, seed=seed, timeout=timeout)
