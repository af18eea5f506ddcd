"""Where a server is and how to log in, as one value with every spelling clients read: environment, URL, keywords, JSON.

The environment is libpq's (PostgreSQL manual, 34.15), the keywords are those of 34.1.2. Nothing here connects, and
nothing reads the environment of this process. The syntax of URLs is in ``url``.

The URL of a network endpoint is ``postgres://user:password@host:port/database?…``. That of a socket is
``postgresql://user:password@/database?host=%2Fdirectory&…``. User, password and database stand where every URL parser
looks for them, and the host stands in the query, where libpq, psycopg, SQLAlchemy, asyncpg, Django and node-postgres
look for a directory. A client that knows no sockets refuses the empty host; with ``localhost`` in its place some would
silently talk to another server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeVar

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.postgres import names
from pg_ephemeral.postgres import url as connection_url

_PLAIN_VALUE = r"[^\s'\\]+"


class SslMode(StrEnum):
    """How a client uses TLS (PostgreSQL manual, 34.19.3)."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class ChannelBinding(StrEnum):
    """Whether a client binds its SCRAM exchange to the TLS channel."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"


class NetworkEndpoint(Struct, frozen=True, kw_only=True):
    """A server reached over TCP. ``host`` is what its certificate is checked for.

    ``port`` None leaves the client its default. ``host_addr``, if any, is where to connect without looking up ``host``.
    Raises ``InvalidValue`` of the kinds of ``names.host``, ``names.port`` and ``names.host_address``.
    """

    host: str
    port: int | None = None
    host_addr: str | None = None
    channel_binding: ChannelBinding | None = None

    def __post_init__(self) -> None:
        """Check each part."""
        names.host(self.host)
        if self.port is not None:
            names.port(self.port)
        if self.host_addr is not None:
            names.host_address(self.host_addr)


class SocketEndpoint(Struct, frozen=True, kw_only=True):
    """A server reached over a unix socket in directory ``socket_path``, or at ``@name`` in the abstract namespace.

    ``port`` is the number in the socket file's name; None leaves the client its default. Raises ``InvalidValue`` of
    kind ``invalid-socket-path``, ``invalid-port``, ``nul`` or ``not-utf-8``.
    """

    socket_path: str
    port: int | None = None

    def __post_init__(self) -> None:
        """Check that libpq would take the path for one socket."""
        if self.port is not None:
            names.port(self.port)
        names.bounded(self.socket_path, what="socket path")
        if not connection_url.is_socket(self.socket_path) or self.socket_path == "@":
            raise InvalidValue(
                f"socket path {self.socket_path!r} is neither absolute nor @name", kind="invalid-socket-path"
            )
        if "," in self.socket_path:
            raise InvalidValue(
                f"socket path {self.socket_path!r} contains a comma, which to libpq separates two hosts",
                kind="invalid-socket-path",
            )


Endpoint: TypeAlias = NetworkEndpoint | SocketEndpoint

#: As ``sslrootcert``: the certificates the system trusts, and no file.
SYSTEM_ROOTS = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conninfo:
    """A connection: endpoint, role, database and how TLS is used. ``repr`` does not show the password.

    ``sslrootcert`` is the path of a file of certificates, or ``SYSTEM_ROOTS``. Raises ``InvalidValue`` of the kinds of
    ``names.bounded``, and of kind ``contradiction`` for what libpq would refuse: the system's certificates with a mode
    below ``verify-full``.
    """

    endpoint: Endpoint
    user: str
    database: str
    sslmode: SslMode
    password: str | None = field(default=None, repr=False)
    application_name: str | None = None
    sslrootcert: str | None = None

    def __post_init__(self) -> None:
        """Check each part, and that they go together."""
        names.identifier(self.user, what="user")
        names.identifier(self.database, what="database")
        if self.password is not None:
            names.password(self.password)
        if self.application_name is not None:
            names.application_name(self.application_name)
        if self.sslrootcert is not None:
            names.bounded(self.sslrootcert, what="sslrootcert", least=1)
        if self.sslrootcert == SYSTEM_ROOTS and self.sslmode is not SslMode.VERIFY_FULL:
            raise InvalidValue(
                f"sslrootcert=system does not go with sslmode={self.sslmode}",
                kind="contradiction",
                hint="use sslmode=verify-full, or name a certificate file",
            )

    @classmethod
    def parse_url(cls, text: str) -> Conninfo:
        """Read a connection URL; without ``sslmode`` it means ``verify-full``.

        Raises ``InvalidValue`` of the kinds of ``url.read`` and ``from_keywords``.
        """
        return cls.from_keywords(connection_url.read(text))

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, str]) -> Conninfo:
        """Make sense of libpq keywords, of which only those in ``url.KEYWORDS`` count.

        Raises ``InvalidValue`` of kind ``missing-user``, ``missing-database``, ``missing-host``, ``contradiction``,
        ``invalid-sslmode``, ``invalid-channel-binding``, and those of each part.
        """
        return cls(
            user=_required(keywords, "user", what="user"),
            database=_required(keywords, "dbname", what="database"),
            endpoint=_read_endpoint(keywords),
            password=keywords.get("password"),
            application_name=keywords.get("application_name"),
            sslmode=_choice(SslMode, keywords, "sslmode") or SslMode.VERIFY_FULL,
            sslrootcert=keywords.get("sslrootcert"),
        )

    def keywords(self) -> dict[str, str]:
        """The connection as libpq keywords, for ``psycopg.connect(**…)``; absent parts are absent.

        The order is that of the URL: its query has what follows ``dbname``.
        """
        endpoint = self.endpoint
        port = None if endpoint.port is None else str(endpoint.port)
        pairs: dict[str, str | None] = {"user": self.user, "password": self.password}
        if isinstance(endpoint, NetworkEndpoint):
            binding = endpoint.channel_binding
            pairs |= {"host": endpoint.host, "port": port, "dbname": self.database, "hostaddr": endpoint.host_addr}
            pairs |= {"channel_binding": None if binding is None else binding.value}
        else:
            pairs |= {"dbname": self.database, "host": endpoint.socket_path, "port": port}
        pairs |= {"application_name": self.application_name, "sslmode": self.sslmode.value}
        pairs |= {"sslrootcert": self.sslrootcert}
        return _present(pairs)

    def env(self) -> dict[str, str]:
        """The libpq environment variables of this connection, ``PGHOST`` to ``PGSSLROOTCERT``."""
        keywords = self.keywords()
        return {variable: keywords[keyword] for variable, keyword in _ENVIRONMENT.items() if keyword in keywords}

    @property
    def url(self) -> connection_url.ConnectionUrl:
        """The connection URL, password included, which its ``repr`` does not show; ``parse_url`` reads it back."""
        scheme = "postgres" if isinstance(self.endpoint, NetworkEndpoint) else "postgresql"
        return connection_url.write(scheme, self.keywords())

    @property
    def connection_string(self) -> str:
        """The ``keyword=value`` string of libpq, password included (PostgreSQL manual, 34.1.1.1)."""
        return " ".join(f"{keyword}={_quote_value(value)}" for keyword, value in self.keywords().items())

    def to_json(self) -> dict[str, object]:
        """What machine-readable output shows, password included: keys in a fixed order, absent parts left out."""
        root = self.sslrootcert
        return _present(
            {
                "application_name": self.application_name,
                "database": self.database,
                "endpoint": _endpoint_json(self.endpoint),
                "password": self.password,
                "ssl_mode": self.sslmode.value,
                "ssl_root_cert": root if root in {None, SYSTEM_ROOTS} else {"file": root},
                "user": self.user,
                "url": str(self.url),
            }
        )


_ENVIRONMENT = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGCHANNELBINDING": "channel_binding",
    "PGHOSTADDR": "hostaddr",
    "PGSSLMODE": "sslmode",
    "PGUSER": "user",
    "PGDATABASE": "dbname",
    "PGAPPNAME": "application_name",
    "PGPASSWORD": "password",
    "PGSSLROOTCERT": "sslrootcert",
}

_Choice = TypeVar("_Choice", bound=StrEnum)
_Value = TypeVar("_Value")


def _read_endpoint(keywords: Mapping[str, str]) -> Endpoint:
    host = _required(keywords, "host", what="host")
    port = names.parse_port(keywords["port"]) if "port" in keywords else None
    if not connection_url.is_socket(host):
        return NetworkEndpoint(
            host=host,
            port=port,
            host_addr=keywords.get("hostaddr"),
            channel_binding=_choice(ChannelBinding, keywords, "channel_binding"),
        )
    for keyword in ("hostaddr", "channel_binding"):
        if keyword in keywords:
            raise InvalidValue(f"{keyword} does not go with a socket as the host", kind="contradiction")
    return SocketEndpoint(socket_path=host, port=port)


def _required(keywords: Mapping[str, str], keyword: str, *, what: str) -> str:
    if keyword not in keywords:
        raise InvalidValue(f"the connection has no {what}", kind=f"missing-{what}")
    return keywords[keyword]


def _choice(choices: type[_Choice], keywords: Mapping[str, str], keyword: str) -> _Choice | None:
    if keyword not in keywords:
        return None
    for choice in choices:
        if choice.value == keywords[keyword]:
            return choice
    raise InvalidValue(
        f"{keyword} must not be {keywords[keyword]!r}",
        kind="invalid-" + keyword.replace("_", "-"),
        hint="use one of " + ", ".join(choices),
    )


def _endpoint_json(endpoint: Endpoint) -> dict[str, object]:
    if isinstance(endpoint, SocketEndpoint):
        return _present({"socket_path": endpoint.socket_path, "port": endpoint.port})
    binding = endpoint.channel_binding
    return _present(
        {
            "host": endpoint.host,
            "channel_binding": None if binding is None else binding.value,
            "host_addr": endpoint.host_addr,
            "port": endpoint.port,
        }
    )


def _present(pairs: Mapping[str, _Value | None]) -> dict[str, _Value]:
    return {key: value for key, value in pairs.items() if value is not None}


def _quote_value(value: str) -> str:
    if re.fullmatch(_PLAIN_VALUE, value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
