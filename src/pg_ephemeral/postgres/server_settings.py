"""How a local server is run, as data: its settings, its command line, its access rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pg_ephemeral.postgres.conninfo import Conninfo, Endpoint, NetworkEndpoint, SocketEndpoint, SslMode

if TYPE_CHECKING:
    from pg_ephemeral.postgres.tls import Certificates

LOOPBACK = "127.0.0.1"

#: How the directories of sockets are called, and the file in a run directory that says which one is its.
SOCKETS_PREFIX = "pg-ephemeral-"
SOCKETS_NOTE = "sockets"


class Settings(Struct, frozen=True, kw_only=True):
    """How to run a server. ``parameters`` are complete; ``timeout`` is in seconds until it must answer.

    ``certificates`` are for ``hostname``; with them, TCP connections must use TLS. ``seeding``: seeds are going to be
    applied, for which the socket stays open to whoever reaches it.
    """

    superuser: str
    database: str
    parameters: Mapping[str, str]
    timeout: float
    certificates: Certificates | None = None
    hostname: str | None = None
    application_name: str | None = None
    seeding: bool = False


class Place(Struct, frozen=True, kw_only=True):
    """Where one start of a server is: its directory, that of its sockets, and its port."""

    run: Path
    sockets: Path
    port: int

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.run / "data"

    @property
    def tls(self) -> Path:
        """Where certificates are."""
        return self.run / "tls"

    @property
    def access_rules(self) -> Path:
        """The access rules in force (PostgreSQL manual, "The pg_hba.conf File")."""
        return self.run / "hba.conf"


def command_line(postgres: str, settings: Settings, place: Place) -> tuple[str, ...]:
    """The server's argv: the parameters, and on top of them what is not for anybody to change."""
    fixed = {
        "listen_addresses": LOOPBACK,
        "port": str(place.port),
        "unix_socket_directories": str(place.sockets),
        "unix_socket_permissions": "0700",
        "hba_file": str(place.access_rules),
        "log_destination": "stderr",
        "logging_collector": "off",
    }
    if settings.certificates is not None:
        from pg_ephemeral.postgres.tls import CERTIFICATE_FILE, KEY_FILE

        fixed |= {
            "ssl": "on",
            "ssl_cert_file": str(place.tls / CERTIFICATE_FILE),
            "ssl_key_file": str(place.tls / KEY_FILE),
            "ssl_ca_file": "",
        }
    options = [text for name, value in {**settings.parameters, **fixed}.items() for text in ("-c", f"{name}={value}")]
    return (postgres, "-D", str(place.data), *options)


def access_rules(settings: Settings, *, seeding: bool) -> str:
    """Who may connect: whoever knows a password.

    While ``seeding``, and until there is a password at all, also whoever can enter the directory of the sockets, which
    is ours alone.
    """
    host = "hostssl" if settings.certificates is not None else "host"
    local = "trust" if seeding else "scram-sha-256"
    return f"local all all {local}\n{host} all all {LOOPBACK}/32 scram-sha-256\n"


def control(settings: Settings, place: Place, *, database: str, password: str) -> Conninfo:
    """The superuser's connection by the unix socket."""
    endpoint = SocketEndpoint(socket_path=str(place.sockets), port=place.port)
    return _conninfo(settings, endpoint, database=database, password=password)


def public(settings: Settings, place: Place, *, password: str) -> Conninfo:
    """The superuser's connection by TCP, with TLS if the server has certificates."""
    if settings.certificates is None or settings.hostname is None:
        endpoint = NetworkEndpoint(host=LOOPBACK, port=place.port)
        return _conninfo(settings, endpoint, database=settings.database, password=password)
    from pg_ephemeral.postgres.tls import CA_FILE

    return _conninfo(
        settings,
        NetworkEndpoint(host=settings.hostname, port=place.port, host_addr=LOOPBACK),
        database=settings.database,
        password=password,
        root=str(place.tls / CA_FILE),
    )


def _conninfo(
    settings: Settings, endpoint: Endpoint, *, database: str, password: str, root: str | None = None
) -> Conninfo:
    return Conninfo(
        endpoint=endpoint,
        user=settings.superuser,
        database=database,
        password=password,
        application_name=settings.application_name,
        sslmode=SslMode.DISABLE if root is None else SslMode.VERIFY_FULL,
        sslrootcert=root,
    )
