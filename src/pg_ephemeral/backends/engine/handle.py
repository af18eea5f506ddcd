"""A server in a container: start it, stop it, connect to it, run programs beside it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pg_ephemeral.backends.base import ServerSpec
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.commands import ImageFacts
from pg_ephemeral.backends.engine.inside import Ended, Inside, Late, quoted
from pg_ephemeral.backends.engine.network import NotOurNetwork
from pg_ephemeral.backends.engine.programs import UNDERSTOOD, by_engine, may_be_fed, variables
from pg_ephemeral.backends.engine.reach import Reach
from pg_ephemeral.backends.engine.script import run_script
from pg_ephemeral.backends.runs import Run
from pg_ephemeral.backends.settle import settle
from pg_ephemeral.errors import ClientError, ServerError
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres import ports, wire
from pg_ephemeral.postgres.conninfo import Conninfo, NetworkEndpoint, SocketEndpoint, SslMode
from pg_ephemeral.postgres.names import INITIAL_DATABASES, random_password
from pg_ephemeral.postgres.scram import SALT_BYTES, verifier
from pg_ephemeral.postgres.server_settings import LOOPBACK
from pg_ephemeral.postgres.superuser import give_password
from pg_ephemeral.postgres.tls import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Certificates
from pg_ephemeral.process import Invocation

SOCKETS = "/var/run/postgresql"
#: Where the config file's directory is seen inside: not at its own path, which would become part of the stage.
FILES = "/mnt/pg-ephemeral"
_MEMORY = "/dev/shm/pg-ephemeral"  # noqa: S108 -- in the container, which is ours alone

_POLL = 0.002
#: For a server that listens in our own network to say something, in seconds; somebody else may never.
_SEEN_WITHIN = 5.0
#: For a clean shutdown, in seconds.
STOP_TIMEOUT = 60.0

#: To make a cluster an image may run scripts of its own.
_INIT_ALLOWANCE = 60.0

_FIXED = {
    "unix_socket_directories": SOCKETS,
    "hba_file": f"{_MEMORY}/hba.conf",
    "log_destination": "stderr",
    "logging_collector": "off",
}
_TLS = {
    "ssl": "on",
    "ssl_cert_file": f"{_MEMORY}/{CERTIFICATE_FILE}",
    "ssl_key_file": f"{_MEMORY}/{KEY_FILE}",
    "ssl_ca_file": "",
}


class EngineHandle:
    """A container of ours and the server in it."""

    contained = True

    def __init__(
        self,
        *,
        client: EngineClient,
        name: str,
        reach: Reach,
        run: Run,
        inside: Inside,
        base: ImageFacts,
        plain: bool,
        origin: ImageFacts | None,
        spec: ServerSpec,
        caller: Callable[[], str],
    ) -> None:
        self.name = name
        self.reach = reach
        self.run = run
        self.inside = inside
        self.base = base
        #: The image the container was made of, if it was looked at.
        self.origin = origin
        self.spec = spec
        #: Says which directories the container was started with.
        self.mounted = spec
        #: The stage that the stopped server holds, and whether the cluster was made in this very container.
        self.stage: Reference | None = None
        self.made_cluster = False
        self._client = client
        #: Whether the image's entry point makes a cluster as any official one does.
        self._plain = plain
        self._closed = False
        self._caller = caller
        self._password = ""
        self._endpoint = NetworkEndpoint(host=LOOPBACK)
        self._root: Path | None = None
        self._certificates: Certificates | None = None

    def order_start(self, spec: ServerSpec, *, fresh: bool, serve: bool = True) -> None:
        """Tell the container to start the server with a new password; ``fresh``: without a cluster yet.

        Without ``serve`` the server is not wanted, and there is none if the image makes a cluster without it. The
        orders wait in the pipe when the container is not up yet.
        """
        if self._certificates is None or self.spec.tls != spec.tls:
            self._certificates = None if spec.tls is None else Certificates.issue(spec.tls)
        self.spec = spec
        self.made_cluster = self.made_cluster or fresh
        self._password = random_password()
        self._send_files()
        self.inside.order("user", quoted(spec.superuser))
        self.inside.order("database", quoted(spec.database))
        if (port := self.reach.choose_port()) is not None:
            self.inside.order("port", str(port))
        if fresh:
            alone = not serve and spec.database in INITIAL_DATABASES
            self.inside.order("init", *([] if not self._plain else ["alone"] if alone else ["plain"]))
        fixed = _FIXED | self.reach.settings() | (_TLS if self._certificates is not None else {})
        options = [word for name, value in {**spec.parameters, **fixed}.items() for word in ("-c", f"{name}={value}")]
        self.inside.start((*self.base.entrypoint, "postgres", *options))

    def await_server(self, *, fresh: bool) -> None:
        """Wait until the server answers, or has made a cluster and is not wanted.

        Raises ``ServerError`` with its last log lines, and ``NotOurNetwork``.
        """
        for attempt in range(1, ports.ATTEMPTS + 1):
            # The engine is asked while the server starts.
            self._endpoint = self.reach.endpoint(self.spec.tls)
            try:
                self._await_ready(self.spec.timeout + (_INIT_ALLOWANCE if fresh else 0.0))
            except ServerError:
                taken = self.reach.shares_network and ports.TAKEN in self.recent_log()
                if not taken or attempt == ports.ATTEMPTS:
                    raise
                self.order_start(self.spec, fresh=fresh)
            else:
                return

    def admit(self, *, seeding: bool) -> None:  # noqa: ARG002 -- inside, the socket is open to all there are
        """From inside, by the socket; from here it takes the password in any case."""
        self.inside.order("admit")
        try:
            self.inside.expect("admitted", within=STOP_TIMEOUT)
        except Ended:
            raise
        except ServerError as error:
            raise ClientError(error.message, detail=error.detail) from error

    def stop(self, *, within: float) -> None:
        """Settle the data and shut the server down cleanly, if it runs. Raises ``ServerError`` and ``ClientError``."""
        if not self.inside.serving:
            return
        since = self._settled()
        self.inside.order("stop")
        if not self.inside.ended(within=within):
            raise ServerError(f"the server did not shut down within {within:g} s", detail=self.recent_log() or None)
        self._tidy(since, within=within)

    def _tidy(self, since: str | None, *, within: float) -> None:
        self.inside.order("tidy", *filter(None, [since]))
        self.inside.expect("tidied", within=within)

    def _settled(self) -> str | None:
        """With the password that we gave; where a seed has changed it, with that given again."""
        try:
            return settle(self.control, self.control_of)
        except ClientError as error:
            # What the server has against a statement has a code; that it does not let somebody in has none in psycopg.
            if error.sqlstate is not None:
                raise
        self.admit(seeding=True)
        return settle(self.control, self.control_of)

    def close(self, *, within: float = STOP_TIMEOUT) -> None:
        """End the container and remove what was kept for it on this side; does nothing the second time.

        What the engine cannot remove, a later sweep will know of.
        """
        if self._closed:
            return
        gone = False
        try:
            gone = self.inside.close(within=within) or self._client.remove_container(self.name)
        finally:
            self._closed = True
            self.run.end(done=gone)

    def replace_with(self, other: EngineHandle) -> None:
        """Be the other container from now on; this one's own ends."""
        try:
            # While the other's server starts.
            self.close()
        finally:
            self.name, self.run, self.inside, self.origin = other.name, other.run, other.inside, other.origin
            self.reach, self.spec, self.mounted = other.reach, other.spec, other.mounted
            self.made_cluster, self._closed = other.made_cluster, other._closed
            self._password, self._root, self._certificates = other._password, other._root, other._certificates

    @property
    def conninfo(self) -> Conninfo:
        """By TCP, at the published port."""
        return self._conninfo(self._endpoint)

    @property
    def control(self) -> Conninfo:
        """The same: from here there is no other way in."""
        return self.conninfo

    def control_of(self, database: str) -> Conninfo:
        """As ``control``, to another database."""
        return replace(self.control, database=database)

    @property
    def inside_conninfo(self) -> Conninfo:
        """For programs in the container: by the unix socket."""
        return replace(
            self._conninfo(NetworkEndpoint(host="localhost")),
            endpoint=SocketEndpoint(socket_path=SOCKETS, port=self.reach.inside_port),
            sslmode=SslMode.DISABLE,
            sslrootcert=None,
        )

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return not self.ended(0.0)

    def ended(self, within: float) -> bool:
        """Whether it has ended, or does so in time."""
        return self.inside.ended(within)

    @property
    def log_file(self) -> Path | None:
        """What the container writes to its standard error."""
        return self.inside.log

    def recent_log(self) -> str:
        """The last lines of that."""
        return self.inside.recent_log()

    @property
    def programs(self) -> Path | None:
        """None: they are inside."""
        return None

    def tool(self, name: str, *arguments: str, directory: Path) -> Invocation:
        """A program of the image. The directory is at another place inside, and there only if it was asked for."""
        there = Path(FILES) if self.mounted.files == directory else None
        passed = {**variables(self.inside_conninfo), **UNDERSTOOD}
        return by_engine(self._client, self.name, (name, *arguments), passed=passed, user=None, directory=there)

    def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:
        """By the script in the container, without the engine, whose part in running a program takes longest."""
        if not may_be_fed(text):
            return None
        passed = {**variables(self.inside_conninfo), **UNDERSTOOD}
        return self.inside.run((name, *arguments), variables=passed, text=text, line=line, within=timeout)

    def program(self, argv: Sequence[str], *, directory: Path | None = None, tty: bool = False) -> Invocation:
        """A program in the container, connected by its environment; with ``directory``, there and as the caller.

        Else where and as whom the image says, and not as root, as whom we run the container.
        """
        user = (self.base.user or None) if directory is None else self._caller()
        passed = variables(self.inside_conninfo)
        return by_engine(self._client, self.name, argv, passed=passed, user=user, directory=directory, tty=tty)

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:
        """Run a script as root beside the stopped server; what it prints goes to our stderr.

        Raises ``SeedFailed`` and ``Overdue``; then nothing is known of the container, which is of no further use.
        """
        self.stop(within=STOP_TIMEOUT)
        run_script(self._client, self.name, script, seed=seed, timeout=timeout)

    def _send_files(self) -> None:
        statements = give_password(self.spec.superuser, verifier(self._password, secrets.token_bytes(SALT_BYTES)))
        self.inside.file("password.sql", "".join(f"{statement};\n" for statement in statements))
        host = "host" if self._certificates is None else "hostssl"
        # Whoever is inside could read the data directory as well; from outside it takes the password.
        self.inside.file("hba.conf", f"local all all trust\n{host} all all all scram-sha-256")
        self._root = None
        if self._certificates is not None:
            self.inside.file(CERTIFICATE_FILE, self._certificates.cert_pem)
            self.inside.file(KEY_FILE, self._certificates.key_pem)
            self._root = self.run.path / CA_FILE
            self._root.write_text(self._certificates.ca_pem)

    def _await_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        try:
            if self.inside.expect("ready", "made", within=timeout) == "ready":
                self._connect(deadline)
            else:
                self.inside.expect("ended", within=timeout)
                self._tidy(None, within=timeout)
        except Ended as error:
            raise ServerError(
                "PostgreSQL ended before it accepted a connection",
                detail=self.recent_log() or None,
                hint="the log lines above are the server's own; a parameter it does not accept is the usual cause",
            ) from error
        except ClientError as error:
            if error.sqlstate is not None:
                raise
            raise self._unreachable(error.message) from error
        except Late as error:
            raise ServerError(
                f"PostgreSQL did not accept a connection within {timeout:g} s",
                detail=self.recent_log() or None,
                hint="raise wait_available_timeout if it only needs longer",
            ) from error
        except ServerError as error:
            if error.detail is None:
                error.detail = self.recent_log() or None
            raise

    def _connect(self, deadline: float) -> None:
        """By the way that callers are going to take."""
        if self.reach.shares_network:
            # It listens already, and knows the password: whoever does not, at its address, is not it.
            try:
                wire.connect_unhindered(self.control, timeout=_SEEN_WITHIN, proven=True).close()
            except ClientError as error:
                raise NotOurNetwork(f"port {self._endpoint.port} is not reached: {error.message}") from error
            return
        while (connection := wire.try_connect(self.control, timeout=max(0.001, deadline - time.monotonic()))) is None:
            if self.inside.ended(within=_POLL) or time.monotonic() >= deadline:
                raise self._unreachable()
        connection.close()

    def _unreachable(self, reason: str | None = None) -> ServerError:
        endpoint = self._endpoint
        return ServerError(
            f"the server answers in its container, but not at {endpoint.host_addr or endpoint.host}:{endpoint.port}",
            detail=reason,
            hint=self.reach.address.advice,
        )

    def _conninfo(self, endpoint: NetworkEndpoint) -> Conninfo:
        return Conninfo(
            endpoint=endpoint,
            user=self.spec.superuser,
            database=self.spec.database,
            password=self._password,
            application_name=self.spec.application_name,
            sslmode=SslMode.DISABLE if self._root is None else SslMode.VERIFY_FULL,
            sslrootcert=None if self._root is None else str(self._root),
        )
