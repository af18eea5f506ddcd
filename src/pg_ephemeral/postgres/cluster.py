"""A PostgreSQL server on a local data directory: start it, connect to it, stop it. No images, no cache.

It listens on a unix socket in a private directory and on TCP on loopback, both with SCRAM and a password made anew at
each start, of which the server only ever sees the verifier. The keeper sees to it that it does not outlive us.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from pg_ephemeral.errors import ClientError, ServerError
from pg_ephemeral.paths import socket_parent, unusable
from pg_ephemeral.postgres import ports, wire
from pg_ephemeral.postgres.account import Account
from pg_ephemeral.postgres.binaries import Installation
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.datadir import WalSegments, remove
from pg_ephemeral.postgres.initdb import server_environment
from pg_ephemeral.postgres.keeper import Keeper
from pg_ephemeral.postgres.names import quote_identifier, quote_literal, random_password
from pg_ephemeral.postgres.scram import SALT_BYTES, verifier
from pg_ephemeral.postgres.server_settings import (
    SOCKETS_NOTE,
    SOCKETS_PREFIX,
    Place,
    Settings,
    access_rules,
    command_line,
    control,
    public,
)
from pg_ephemeral.postgres.superuser import give_password
from pg_ephemeral.postgres.wire import Wire
from pg_ephemeral.process import Invocation, capture

_POLL = 0.002
_LOG_LINES = 15

#: Where we connect while the wanted database may not exist yet: every new one is copied from it, so that it is there.
_MAINTENANCE = "template1"

_Connected = TypeVar("_Connected")


class Cluster:
    """The data directory ``run/data`` and the server on it, started and stopped any number of times.

    ``run`` is private to this server: it also holds the log and the access rules. Not safe for use by several threads.
    """

    def __init__(self, installation: Installation, account: Account, run: Path, settings: Settings) -> None:
        self.installation = installation
        self.settings = settings
        self.run = run
        self.data = run / "data"
        self.log = run / "log"
        self._account = account
        self._keeper: Keeper | None = None
        self._sockets: Path | None = None
        self._place = Place(run=run, sockets=run, port=0)
        self._password = ""
        self._log_start = 0

    def start(self) -> None:
        """Start the server, wait until it answers a query, and give the superuser a new password.

        Creates the wanted database when it is missing. Raises ``ServerError`` with the server's last log lines when
        it dies or does not answer in time; then nothing runs.
        """
        for attempt in range(1, ports.ATTEMPTS + 1):
            self._launch()
            try:
                with self._first_answer() as connection:
                    self._make_database(connection)
                    self._admit(connection, seeding=self.settings.seeding)
            except ServerError:
                taken = ports.TAKEN in self.recent_log()
                self.discard()
                if not taken or attempt == ports.ATTEMPTS:
                    raise
            except BaseException:
                self.discard()
                raise
            else:
                return

    def admit(self, *, seeding: bool) -> None:
        """Give the superuser its password again; let nobody in without one any more, unless ``seeding`` goes on.

        Raises ``ClientError``.
        """
        with self._somewhere(partial(wire.connect_unhindered, timeout=self.settings.timeout)) as connection:
            self._admit(connection, seeding=seeding)

    def stop(self) -> None:
        """Shut down cleanly, so that the data can be kept. Raises ``ServerError`` when it takes too long."""
        if self._keeper is None:
            return
        timeout = max(self.settings.timeout, 60.0)
        self._keeper.order("INT")
        if not self._keeper.ended(within=timeout):
            raise ServerError(f"the server did not shut down within {timeout:g} s", detail=self.recent_log() or None)

    def discard(self) -> None:
        """Stop at once; the data directory is of no further use as it is. Does nothing if nothing runs."""
        if self._keeper is not None:
            self._keeper.quit()

    def close(self) -> None:
        """Let go of everything: the server, its sockets, and the ``run`` directory with all that is in it."""
        self.discard()
        if self._keeper is not None:
            self._keeper.dismiss(clean_up=True)
            self._keeper = None
        if self._sockets is not None:
            remove(self._sockets)
        remove(self.run)

    @property
    def running(self) -> bool:
        """Whether a server was started and has not ended since."""
        return not self.ended(0.0)

    def ended(self, within: float) -> bool:
        """Whether no server runs, or none does after at most that many seconds."""
        return self._keeper is None or self._keeper.ended(within=within)

    @property
    def control(self) -> Conninfo:
        """The superuser's connection by unix socket: the fastest, and what we use ourselves."""
        return self.control_of(self.settings.database)

    def control_of(self, database: str) -> Conninfo:
        """As ``control``, to another database."""
        return control(self.settings, self._place, database=database, password=self._password)

    @property
    def conninfo(self) -> Conninfo:
        """The superuser's connection by TCP: what callers and their programs are given."""
        return public(self.settings, self._place, password=self._password)

    def recent_log(self, lines: int = _LOG_LINES) -> str:
        """The last lines this start of the server has logged."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._log_start)
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def needed_wal(self, *, since: str | None) -> WalSegments:
        """After a clean stop: the segments from ``since``, if anything waits for it, to that of the last checkpoint.

        Raises ``ServerError`` if the stop was not clean.
        """
        program = self.installation.program("pg_controldata")
        done = capture(Invocation(argv=(program, str(self.data)), env=server_environment()))
        report = done.stdout.decode(errors="replace")
        found = re.search(r"^Latest checkpoint's REDO WAL file:\s+([0-9A-F]{24})$", report, re.MULTILINE)
        state = re.search(r"^Database cluster state:\s+(.*)$", report, re.MULTILINE)
        if done.status != 0 or found is None or state is None or state[1] != "shut down":
            raise ServerError(
                "the server did not shut down cleanly, so its data cannot be kept",
                detail=done.message or (state[0] if state else None),
            )
        return WalSegments(first=found[1] if since is None else min(since, found[1]), last=found[1])

    def _launch(self) -> None:
        """Start the server program under a new keeper; the previous one, whose server ended, is let go then."""
        if self._sockets is None:
            sockets = socket_parent(ours_alone=not self._account.foreign) / f"{SOCKETS_PREFIX}{secrets.token_hex(6)}"
            # Noted before it is there: if we are killed in between, a sweep knows of it.
            self._write(self.run / SOCKETS_NOTE, str(sockets))
            sockets.mkdir(mode=0o700)
            self._sockets = sockets
            self._give(sockets)
        self._password = random_password()
        self._place = Place(run=self.run, sockets=self._sockets, port=ports.free_port())
        self._write(self._place.access_rules, access_rules(self.settings, seeding=True))
        self._write_certificates()
        with suppress(FileNotFoundError):
            (self.run / "exited").unlink()
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        keeper = Keeper(
            command_line(self.installation.program("postgres"), self.settings, self._place),
            account=self._account,
            log=self.log,
            run=self.run,
            sockets=self._sockets,
            environment=server_environment(),
        )
        previous, self._keeper = self._keeper, keeper
        if previous is not None:
            previous.dismiss(clean_up=False)

    def _write_certificates(self) -> None:
        certificates, directory = self.settings.certificates, self._place.tls
        if certificates is None or directory.exists():
            return
        directory.mkdir(mode=0o700)
        certificates.write(directory)
        for path in (directory, *directory.iterdir()):
            self._give(path)

    def _write(self, path: Path, text: str) -> None:
        """Write beside, then rename: a server may read at any moment."""
        beside = path.with_suffix(".new")
        try:
            with os.fdopen(
                os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(text)
            self._give(beside)
            beside.rename(path)
        except OSError as error:
            raise unusable(path, error) from error

    def _give(self, path: Path) -> None:
        if self._account.uid is not None and self._account.gid is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _first_answer(self) -> Wire:
        """Connect as soon as the server accepts connections; fail as soon as it is dead."""
        assert self._keeper is not None  # noqa: S101 -- called after _launch
        deadline = time.monotonic() + self.settings.timeout
        listening = self._place.sockets / f".s.PGSQL.{self._place.port}"
        while True:
            if self._keeper.ended(within=_POLL):
                raise ServerError(
                    f"PostgreSQL {self.installation.version.text} ended before it accepted a connection",
                    detail=self.recent_log() or None,
                    hint="the log lines above are the server's own; a parameter it does not accept is the usual cause",
                )
            left = deadline - time.monotonic()
            if left <= 0:
                raise ServerError(
                    f"PostgreSQL did not accept a connection within {self.settings.timeout:g} s",
                    detail=self.recent_log() or None,
                    hint="raise wait_available_timeout if it only needs longer",
                )
            if listening.exists():
                connection = self._somewhere(partial(wire.try_connect, timeout=left))
                if connection is not None:
                    return connection

    def _somewhere(self, connect: Callable[[Conninfo], _Connected]) -> _Connected:
        """Connect where that can be done for certain, or in the wanted database if a seed has closed the other one."""
        try:
            return connect(self.control_of(_MAINTENANCE))
        except ClientError:
            return connect(self.control)

    def _make_database(self, connection: Wire) -> None:
        """Make the wanted database, if it is not there."""
        database = self.settings.database
        if not connection.rows(f"SELECT FROM pg_database WHERE datname = {quote_literal(database)}"):
            connection.execute(f"CREATE DATABASE {quote_identifier(database)}")

    def _admit(self, connection: Wire, *, seeding: bool) -> None:
        """Set the password by its verifier, and close the way in without one."""
        user = self.settings.superuser
        for statement in give_password(user, verifier(self._password, secrets.token_bytes(SALT_BYTES))):
            connection.execute(statement)
        if not seeding:
            self._write(self._place.access_rules, access_rules(self.settings, seeding=False))
            connection.execute("SELECT pg_reload_conf()")
