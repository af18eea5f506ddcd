"""A server's own protocol, as much of it as it takes to hear that a server is there and to let the superuser in.

psycopg is what we use for everything else. But loading it takes several times as long as a server takes to start, and a
boot from the cache has nothing to ask that simple queries could not. The messages are those of the PostgreSQL manual,
"Frontend/Backend Protocol", version 3.0.
"""

from __future__ import annotations

import re
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Self

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres.conninfo import SYSTEM_ROOTS, Conninfo, NetworkEndpoint, SslMode
from pg_ephemeral.postgres.scram import MECHANISM, Proof
from pg_ephemeral.postgres.unhindered import LOCK_TIMEOUT, unhindered

_PROTOCOL: Final = 3 << 16
_TLS: Final = 80877103
_DEFAULT_PORT: Final = 5432
_CANNOT_CONNECT_NOW: Final = "57P03"

#: Authentication requests, by number.
_OK, _SASL, _CONTINUE, _FINAL = 0, 10, 11, 12

#: Beyond this a message is none of ours to read: we ask for nothing large.
_LONGEST: Final = 1 << 24

Row = tuple[str | None, ...]


class NotYet(ClientError):
    """Nobody takes connections there: nobody listens, or answers, or who does is starting, stopping or recovering."""


class Wire:
    """A connection for simple queries; a context manager. Not safe for use by several threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._read = connection.makefile("rb")
        self._parameters: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye, if anybody is there to hear it; does nothing the second time."""
        with suppress(OSError):
            self._send(b"X", b"")
        self._read.close()
        self._socket.close()

    @property
    def server_version(self) -> int:
        """As the server's ``server_version_num``; 0 if it did not say."""
        found = re.match(r"(\d+)(?:\.(\d+))?", self._parameters.get("server_version", ""))
        return 0 if found is None else int(found[1]) * 10_000 + int(found[2] or 0)

    def execute(self, sql: str) -> None:
        """Run statements. Raises ``ClientError``."""
        self.rows(sql)

    def rows(self, sql: str) -> list[Row]:
        """Run statements and return the rows of all of them, as text. Raises ``ClientError``."""
        try:
            self._send(b"Q", sql.encode() + b"\0")
            return list(self._until_ready())
        except OSError as error:
            raise ClientError(f"the connection was lost: {error}") from error

    def log_in(self, conninfo: Conninfo, *, options: str, proven: bool) -> None:
        """Begin the session; ``proven``: only with a server that shows that it knows the password.

        Raises ``ClientError``, and ``OSError`` when the connection ends.
        """
        said = {
            "user": conninfo.user,
            "database": conninfo.database,
            "application_name": conninfo.application_name or "",
            "client_encoding": "UTF8",
            "options": options,
        }
        words = b"".join(text.encode() + b"\0" for pair in said.items() for text in pair)
        self._send(b"", struct.pack("!i", _PROTOCOL) + words + b"\0")
        proof = Proof(conninfo.password or "", secrets.token_urlsafe(18))
        list(self._until_ready(proof))
        if proven and not proof.returned:
            raise ClientError("the server lets in whoever asks, and may be another than ours")

    def _until_ready(self, proof: Proof | None = None) -> Iterator[Row]:
        """The rows of what the server says before it waits for us. Raises the first error of it."""
        failed: ClientError | None = None
        while True:
            kind, body = self._receive()
            match kind:
                case b"D":
                    yield _row(body)
                case b"S":
                    name, value = body.split(b"\0")[:2]
                    self._parameters[name.decode()] = value.decode(errors="replace")
                case b"R" if proof is not None:
                    self._authenticate(body, proof)
                case b"E":
                    failed = failed or _error(body)
                    if proof is not None:
                        raise failed  # the server ends it here
                case b"Z":
                    if failed is not None:
                        raise failed
                    return
                case _:
                    pass  # notices, descriptions of rows, completions

    def _authenticate(self, body: bytes, proof: Proof) -> None:
        (request,), said = struct.unpack("!i", body[:4]), body[4:]
        if request == _SASL and MECHANISM.encode() in said.split(b"\0"):
            first = proof.first().encode()
            self._send(b"p", MECHANISM.encode() + b"\0" + struct.pack("!i", len(first)) + first)
        elif request == _CONTINUE:
            self._send(b"p", proof.final(said.decode()).encode())
        elif request == _FINAL:
            proof.check(said.decode())
        elif request != _OK:
            raise ClientError("the server asks for a password in a way that its access rules do not say")

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._exactly(5)
        (size,) = struct.unpack("!i", head[1:])
        if not 4 <= size <= _LONGEST:
            raise ClientError("what answers there is no PostgreSQL")
        return head[:1], self._exactly(size - 4)

    def _exactly(self, count: int) -> bytes:
        received = self._read.read(count)
        if len(received) < count:
            raise ConnectionResetError("the server closed the connection")
        return received


def connect_unhindered(conninfo: Conninfo, *, timeout: float, proven: bool = False) -> Wire:
    """Connect for a purpose of our own, see ``unhindered``; ``timeout`` is in seconds for each answer until we are in.

    ``proven``: only to a server that shows that it knows the password, for whoever listens there may be another.
    Raises ``ClientError``, of which ``NotYet`` is for a server that does not take connections yet.
    """
    return unhindered(lambda options: _connected(conninfo, timeout, options, proven=proven), lock_timeout=LOCK_TIMEOUT)


def try_connect(conninfo: Conninfo, *, timeout: float) -> Wire | None:
    """The same, with None for a server that does not take connections yet. For use in a loop."""
    try:
        return connect_unhindered(conninfo, timeout=timeout)
    except NotYet:
        return None


def _connected(conninfo: Conninfo, timeout: float, options: str, *, proven: bool) -> Wire:
    try:
        connection = _open(conninfo, timeout)
    except (FileNotFoundError, ConnectionError, TimeoutError, BlockingIOError) as error:
        raise NotYet(f"nobody takes connections there: {error}") from error
    except OSError as error:
        raise ClientError(f"the server cannot be reached: {error}") from error
    wire = Wire(connection)
    try:
        wire.log_in(conninfo, options=options, proven=proven)
        # From here on a statement may take its time.
        connection.settimeout(None)
    except OSError as error:
        wire.close()
        # No answer is a proxy's, in front of a server that is not there yet.
        raise NotYet(f"no answer: {error}") from error
    except ClientError as error:
        wire.close()
        if error.sqlstate == _CANNOT_CONNECT_NOW:
            raise NotYet(error.message, sqlstate=error.sqlstate) from error
        raise
    except BaseException:
        wire.close()
        raise
    return wire


def _open(conninfo: Conninfo, timeout: float) -> socket.socket:
    """A connection on which the session can begin. Raises ``OSError`` and ``ClientError``."""
    endpoint = conninfo.endpoint
    port = _DEFAULT_PORT if endpoint.port is None else endpoint.port
    if isinstance(endpoint, NetworkEndpoint):
        connection = socket.create_connection((endpoint.host_addr or endpoint.host, port), timeout)
    else:
        connection = socket.socket(socket.AF_UNIX)
    try:
        if isinstance(endpoint, NetworkEndpoint):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return (
                connection if conninfo.sslmode is SslMode.DISABLE else _encrypted(connection, conninfo, endpoint.host)
            )
        connection.settimeout(timeout)
        path = f"{endpoint.socket_path}/.s.PGSQL.{port}"
        connection.connect("\0" + path[1:] if path.startswith("@") else path)
    except BaseException:
        connection.close()
        raise
    return connection


def _encrypted(connection: socket.socket, conninfo: Conninfo, host: str) -> socket.socket:
    """The same with TLS, the server's certificate checked as by ``verify-full``: we connect in no weaker way."""
    import ssl

    root = None if conninfo.sslrootcert == SYSTEM_ROOTS else conninfo.sslrootcert
    connection.sendall(struct.pack("!ii", 8, _TLS))
    answer = connection.recv(1)
    if not answer:
        raise ConnectionResetError("the server closed the connection")
    if answer != b"S":
        raise ClientError("the server does not do TLS")
    return ssl.create_default_context(cafile=root).wrap_socket(connection, server_hostname=host)


def _row(body: bytes) -> Row:
    (count,), at = struct.unpack("!h", body[:2]), 2
    values: list[str | None] = []
    for _ in range(count):
        (size,), at = struct.unpack("!i", body[at : at + 4]), at + 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)


def _error(body: bytes) -> ClientError:
    """What the server complains of (PostgreSQL manual, "Error and Notice Message Fields")."""
    said = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    parts = (("DETAIL", said.get(b"D")), ("HINT", said.get(b"H")), ("CONTEXT", said.get(b"W")))
    detail = "\n".join(f"{name}: {text}" for name, text in parts if text)
    return ClientError(said.get(b"M", "the server refused"), sqlstate=said.get(b"C"), detail=detail or None)
