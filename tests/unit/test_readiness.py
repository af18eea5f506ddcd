"""Whether a server takes connections, told from its first answer on the wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pg_ephemeral.postgres.conninfo import Conninfo, Endpoint, NetworkEndpoint, SocketEndpoint, SslMode
from pg_ephemeral.postgres.readiness import accepts


def error(sqlstate: str) -> bytes:
    body = f"SFATAL\0VFATAL\0C{sqlstate}\0Mno\0\0".encode()
    return b"E" + (len(body) + 4).to_bytes(4) + body


def conninfo(endpoint: Endpoint) -> Conninfo:
    return Conninfo(endpoint=endpoint, user="postgres", database="app", sslmode=SslMode.DISABLE)


@contextmanager
def server(listener: socket.socket, *answers: bytes) -> Iterator[list[bytes]]:
    """Take one connection, note what it sends, and answer in these pieces."""
    sent: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            sent.append(connection.recv(4096))
            for answer in answers:
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield sent
    finally:
        thread.join()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@pytest.fixture
def address(listener: socket.socket) -> Conninfo:
    return conninfo(NetworkEndpoint(host="localhost", host_addr="127.0.0.1", port=listener.getsockname()[1]))


# fault: W55
@pytest.mark.parametrize(
    ("answers", "ready"),
    [
        ((b"R\0\0\0\x08\0\0\0\0",), True),
        ((b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",), True),
        ((error("28P01"),), True),
        ((error("3D000"),), True),
        ((error("53300"),), True),
        ((error("57P03"),), False),
        ((error("57P03")[:7], error("57P03")[7:]), False),
        ((b"",), False),
        ((b"E\0\0\x40\0SFATAL\0",), True),
    ],
)
def test_only_a_server_that_says_so_is_not_ready(
    answers: tuple[bytes, ...], ready: bool, listener: socket.socket, address: Conninfo
) -> None:
    with server(listener, *answers) as sent:
        assert accepts(address, timeout=5) is ready
    body = b"\0\x03\0\0user\0postgres\0database\0app\0\0"
    assert sent == [(len(body) + 4).to_bytes(4) + body]


def test_nobody_answers(listener: socket.socket, address: Conninfo) -> None:
    assert accepts(address, timeout=0.05) is False


def test_nobody_listens(listener: socket.socket, address: Conninfo) -> None:
    listener.close()
    assert accepts(address, timeout=5) is False


def test_a_unix_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    directory = conninfo(SocketEndpoint(socket_path=str(tmp_path), port=5433))
    assert accepts(directory, timeout=5) is False, "there is no socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(".s.PGSQL.5433")
        assert accepts(directory, timeout=5) is False, "nobody listens"
        listener.listen()
        with server(listener, b"R\0\0\0\x08\0\0\0\0"):
            assert accepts(directory, timeout=5) is True


def test_an_address_that_cannot_be_is_not_waited_for() -> None:
    assert accepts(conninfo(SocketEndpoint(socket_path="/" + "x" * 200)), timeout=5) is True
