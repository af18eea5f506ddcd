"""What one needs to know of a running server to use it from any process, as a value that travels as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.progress import Finished
from pg_ephemeral.server import Server

#: Puts the database's name into every line of the server's log, so that a test's own lines can be told from others'.
LOG_PREFIX = "%m [%p] %d "


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A running server.

    ``conninfo`` is the caller's connection and ``control`` the fastest there is. ``log_file`` is where the server logs
    to, if that is a file here, and ``log_by_database`` says that its lines begin with ``LOG_PREFIX``. ``programs`` is
    the directory of its client programs. ``seconds``, ``built``, ``reused`` and ``replayed`` are of its boot.
    """

    conninfo: Conninfo
    control: Conninfo
    version: str
    log_file: Path | None
    log_by_database: bool
    programs: Path | None
    seconds: float
    built: int
    reused: int
    replayed: int

    def to_json(self) -> dict[str, Any]:
        """As plain values, passwords included: for the holder's socket alone."""
        return {
            "conninfo": self.conninfo.keywords(),
            "control": self.control.keywords(),
            "version": self.version,
            "log_file": _text(self.log_file),
            "log_by_database": self.log_by_database,
            "programs": _text(self.programs),
            "seconds": self.seconds,
            "built": self.built,
            "reused": self.reused,
            "replayed": self.replayed,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            conninfo=Conninfo.from_keywords(values["conninfo"]),
            control=Conninfo.from_keywords(values["control"]),
            version=values["version"],
            log_file=_path(values["log_file"]),
            log_by_database=values["log_by_database"],
            programs=_path(values["programs"]),
            seconds=values["seconds"],
            built=values["built"],
            reused=values["reused"],
            replayed=values["replayed"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A server that stays after the run: the holder's process, where it listens, and for how many minutes."""

    pid: int
    directory: Path
    minutes: float


def described(server: Server, booted: Finished) -> Facts:
    """The facts of a server that was just booted.

    Its log is told to name databases, unless the definition says how lines begin. Raises ``ClientError``.
    """
    chosen = {name.lower() for name in server.definition.parameters}
    with client.connect_unhindered(server.control) as connection:
        [(version,)] = connection.rows("SHOW server_version")
        by_database = "log_line_prefix" not in chosen and _name_databases(connection)
    return Facts(
        conninfo=server.conninfo,
        control=server.control,
        version=str(version).split(" ")[0],
        log_file=server.log_file,
        log_by_database=by_database,
        programs=server.programs,
        seconds=booted.seconds,
        built=booted.built,
        reused=booted.reused,
        replayed=booted.replayed,
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
