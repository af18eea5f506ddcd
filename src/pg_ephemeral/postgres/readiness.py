"""Whether a server takes connections yet, asked on the wire: libpq does not tell why it could not connect.

The start-up message and its answers are those of the PostgreSQL manual, 54.2.1 and 54.7. Nothing is logged in.
"""

from __future__ import annotations

import socket
import struct

from pg_ephemeral.postgres.conninfo import Conninfo, SocketEndpoint

_PROTOCOL = 3 << 16
_DEFAULT_PORT = 5432
_CANNOT_CONNECT_NOW = b"57P03"
_ANSWER_BYTES = 4096


def accepts(conninfo: Conninfo, *, timeout: float) -> bool:
    """Whether the server at this address takes connections, whatever it then says to this one.

    False means not yet: nobody listens, nobody answers within ``timeout`` seconds, or the answer is that the server is
    starting, stopping or recovering. An address that cannot be is for the caller's next attempt to complain about.
    """
    try:
        with _open(conninfo, timeout) as connection:
            connection.sendall(_start_up(conninfo))
            return _takes_us(_answer(connection))
    except (FileNotFoundError, ConnectionError, TimeoutError, BlockingIOError):
        return False
    except OSError:
        return True


def _open(conninfo: Conninfo, timeout: float) -> socket.socket:
    endpoint = conninfo.endpoint
    port = _DEFAULT_PORT if endpoint.port is None else endpoint.port
    if not isinstance(endpoint, SocketEndpoint):
        return socket.create_connection((endpoint.host_addr or endpoint.host, port), timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        path = f"{endpoint.socket_path}/.s.PGSQL.{port}"
        connection.connect("\0" + path[1:] if path.startswith("@") else path)
    except BaseException:
        connection.close()
        raise
    return connection


def _start_up(conninfo: Conninfo) -> bytes:
    parameters = b"\0".join([b"user", conninfo.user.encode(), b"database", conninfo.database.encode()])
    body = struct.pack("!i", _PROTOCOL) + parameters + b"\0\0"
    return struct.pack("!i", len(body) + 4) + body


def _answer(connection: socket.socket) -> bytes:
    """The first message, or as much of it as has come before the end."""
    answer = b""
    while len(answer) < _ANSWER_BYTES and not _whole(answer):
        received = connection.recv(_ANSWER_BYTES)
        if not received:
            break
        answer += received
    return answer


def _whole(answer: bytes) -> bool:
    return len(answer) >= 5 and len(answer) > struct.unpack("!i", answer[1:5])[0]


def _takes_us(answer: bytes) -> bool:
    """No answer is a proxy's, in front of a server that is not there yet."""
    return bool(answer) and not (answer[:1] == b"E" and b"\0C" + _CANNOT_CONNECT_NOW + b"\0" in answer)
