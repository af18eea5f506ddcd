"""What one needs to know of a running server to use it from any process, as a value that travels as JSON."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.progress import Event, Finished, Progress, SeedFinished, silent
from pg_ephemeral.server import Server

#: Puts the database's name into every line of the server's log, so that a test's own lines can be told from others'.
LOG_PREFIX = "%m [%p] %d "


class BootRecord:
    """What a boot reports, handed on and remembered: to be given to ``boot`` as its progress."""

    def __init__(self, progress: Progress = silent) -> None:
        self._progress = progress
        self._finished: Finished | None = None
        #: The names of stages that were built, and the seconds each took.
        self.stages: list[tuple[str, float]] = []

    def __call__(self, event: Event) -> None:
        """See what happened."""
        self._progress(event)
        if isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, SeedFinished) and event.cached:
            self.stages.append((event.name, event.seconds))

    @property
    def finished(self) -> Finished:
        """The end of it."""
        assert self._finished is not None  # noqa: S101 -- a boot that gave a server has said so
        return self._finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What booting took: ``seconds``, and how many stages were ``built``, ``reused`` and ``replayed``.

    ``stages`` has the names of those that were built, and the seconds each took.
    """

    seconds: float
    built: int
    reused: int
    replayed: int
    stages: tuple[tuple[str, float], ...] = ()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What ``asdict`` gave."""
        return cls(**{**values, "stages": tuple((name, seconds) for name, seconds in values["stages"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A running server, known by its ``token``, which no other has.

    ``conninfo`` is the caller's connection and ``control`` the fastest there is. ``log_file`` is where the server logs
    to, if that is a file here, and ``log_by_database`` says that its lines begin with ``LOG_PREFIX``. ``contained`` is
    whether they come from a container, and so a little late. ``programs`` is the directory of its client programs.
    ``connections`` is how many it takes.
    """

    token: str
    conninfo: Conninfo
    control: Conninfo
    version: str
    connections: int
    log_file: Path | None
    log_by_database: bool
    contained: bool
    programs: Path | None
    boot: Boot

    def to_json(self) -> dict[str, Any]:
        """As plain values, passwords included: for the holder's socket alone."""
        return {
            "token": self.token,
            "conninfo": self.conninfo.keywords(),
            "control": self.control.keywords(),
            "version": self.version,
            "connections": self.connections,
            "log_file": _text(self.log_file),
            "log_by_database": self.log_by_database,
            "contained": self.contained,
            "programs": _text(self.programs),
            "boot": asdict(self.boot),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            token=values["token"],
            conninfo=Conninfo.from_keywords(values["conninfo"]),
            control=Conninfo.from_keywords(values["control"]),
            version=values["version"],
            connections=values["connections"],
            log_file=_path(values["log_file"]),
            log_by_database=values["log_by_database"],
            contained=values["contained"],
            programs=_path(values["programs"]),
            boot=Boot.from_json(values["boot"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A server that stays after the run: the holder's process, where it listens, and for how many minutes."""

    pid: int
    directory: Path
    minutes: float


def described(server: Server, record: BootRecord) -> Facts:
    """The facts of a server that was just booted.

    Its log is told to name databases, unless the definition says how lines begin. Raises ``ClientError``.
    """
    chosen = {name.lower() for name in server.definition.parameters}
    with client.connect_unhindered(server.control) as connection:
        [(version, connections)] = connection.rows(
            "SELECT current_setting('server_version'), current_setting('max_connections')::int"
        )
        by_database = "log_line_prefix" not in chosen and _name_databases(connection)
    booted = record.finished
    return Facts(
        token=secrets.token_hex(8),
        conninfo=server.conninfo,
        control=server.control,
        version=str(version).split(" ")[0],
        connections=connections,
        log_file=server.log_file,
        log_by_database=by_database,
        contained=server.contained,
        programs=server.programs,
        boot=Boot(
            seconds=booted.seconds,
            built=booted.built,
            reused=booted.reused,
            replayed=booted.replayed,
            stages=tuple(record.stages),
        ),
    )


def _name_databases(connection: client.Client) -> bool:
    """Set the prefix for the server's life; it is not part of any cache key. False when the server will not."""
    try:
        connection.execute(f"ALTER SYSTEM SET log_line_prefix = '{LOG_PREFIX}'")
        connection.execute("SELECT pg_reload_conf()")
    except ClientError:
        return False
    return True


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
