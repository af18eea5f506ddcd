"""Our few words of the server's protocol, with servers of a few lines; real ones are in the integration tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import wire
from pg_ephemeral.postgres.conninfo import Conninfo, Endpoint, NetworkEndpoint, SocketEndpoint, SslMode
from pg_ephemeral.postgres.wire import NotYet


def message(kind: str, body: bytes) -> bytes:
    return kind.encode() + (len(body) + 4).to_bytes(4) + body


def error(sqlstate: str, *fields: str) -> bytes:
    return message("E", "\0".join(["SFATAL", "VFATAL", f"C{sqlstate}", "Mno", *fields, "", ""]).encode())


def version(text: str) -> bytes:
    return message("S", b"server_version\0" + text.encode() + b"\0")


#: Let in without a question.
OK = message("R", b"\0\0\0\0")
READY = message("Z", b"I")
#: By a version that has nothing for us to switch off.
LET_IN = OK + version("13.1") + READY


def conninfo(endpoint: Endpoint) -> Conninfo:
    return Conninfo(endpoint=endpoint, user="postgres", database="app", sslmode=SslMode.DISABLE)


@contextmanager
def server(listener: socket.socket, *answers: bytes) -> Iterator[list[bytes]]:
    """Take one connection; note each thing it sends, and say the next of these in return."""
    sent: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            for answer in answers:
                sent.append(connection.recv(4096))
                connection.sendall(answer)
            while rest := connection.recv(4096):
                sent.append(rest)

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


@contextmanager
def silent(listener: socket.socket, said: bytes) -> Iterator[None]:
    """Take one connection, say this, and hang up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(said)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()


# fault: W55
class TestNotYet:
    @pytest.mark.parametrize("said", [error("57P03"), b"", error("57P03")[:7], OK, OK + version("18.0")])
    def test_a_server_that_does_not_let_anybody_in_yet(
        self, said: bytes, listener: socket.socket, address: Conninfo
    ) -> None:
        with silent(listener, said):
            assert wire.try_connect(address, timeout=5) is None

    @pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "53300"])
    def test_a_refusal_is_none_to_wait_for(self, sqlstate: str, listener: socket.socket, address: Conninfo) -> None:
        with silent(listener, error(sqlstate)), pytest.raises(ClientError, match=r"^no$") as caught:
            wire.try_connect(address, timeout=5)
        assert caught.value.sqlstate == sqlstate
        assert not isinstance(caught.value, NotYet)

    @pytest.mark.usefixtures("listener")
    def test_nobody_answers(self, address: Conninfo) -> None:
        assert wire.try_connect(address, timeout=0.05) is None

    def test_nobody_listens(self, listener: socket.socket, address: Conninfo) -> None:
        listener.close()
        assert wire.try_connect(address, timeout=5) is None
        with pytest.raises(NotYet, match="nobody takes connections there"):
            wire.connect_unhindered(address, timeout=5)

    def test_a_unix_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        directory = conninfo(SocketEndpoint(socket_path=str(tmp_path), port=5433))
        assert wire.try_connect(directory, timeout=5) is None, "there is no socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(".s.PGSQL.5433")
            assert wire.try_connect(directory, timeout=5) is None, "nobody listens"
            listener.listen()
            with server(listener, LET_IN), wire.connect_unhindered(directory, timeout=5) as session:
                assert session.server_version == 130001

    def test_an_address_that_cannot_be_is_not_waited_for(self) -> None:
        with pytest.raises(ClientError, match="cannot be reached"):
            wire.try_connect(conninfo(SocketEndpoint(socket_path="/" + "x" * 200)), timeout=5)


class TestStrangers:
    @pytest.mark.parametrize(
        ("said", "complaint"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no PostgreSQL"),
            (b"R\0\0\0\x02", "is no PostgreSQL"),
            (message("R", b"\0\0\0\x03"), "asks for a password in a way"),
            (message("R", b"\0\0\0\x0aSCRAM-SHA-512\0\0"), "asks for a password in a way"),
        ],
    )
    def test_what_they_want_is_refused(
        self, said: bytes, complaint: str, listener: socket.socket, address: Conninfo
    ) -> None:
        with silent(listener, said), pytest.raises(ClientError, match=complaint):
            wire.try_connect(address, timeout=5)

    def test_a_server_that_does_not_know_the_password_is_not_ours(
        self, listener: socket.socket, address: Conninfo
    ) -> None:
        """It lets us in whatever we say, as an impostor would."""
        asked: list[str] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(message("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
                nonce = connection.recv(4096).decode(errors="replace").rpartition("r=")[2]
                connection.sendall(message("R", b"\0\0\0\x0b" + f"r={nonce}more,s=c2FsdA==,i=4096".encode()))
                asked.append(connection.recv(4096).decode(errors="replace"))
                connection.sendall(message("R", b"\0\0\0\x0cv=" + b"A" * 43 + b"=") + LET_IN)
                connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ClientError, match="does not know the password"):
            wire.try_connect(address, timeout=5)
        thread.join()
        assert ",p=" in asked[0]


def test_a_server_that_lets_in_whoever_asks_proves_nothing(listener: socket.socket, address: Conninfo) -> None:
    with server(listener, LET_IN), pytest.raises(ClientError, match="may be another than ours"):
        wire.connect_unhindered(address, timeout=5, proven=True)


def test_what_is_said_to_begin_with(listener: socket.socket, address: Conninfo) -> None:
    with server(listener, LET_IN) as sent:
        wire.connect_unhindered(address, timeout=5).close()
    words = sent[0][8:].split(b"\0")
    said = dict(zip(words[::2], words[1::2], strict=False))
    assert sent[0][:8] == len(sent[0]).to_bytes(4) + b"\0\x03\0\0"
    assert (said[b"user"], said[b"database"], said[b"client_encoding"]) == (b"postgres", b"app", b"UTF8")
    assert b"statement_timeout=0" in said[b"options"]
    assert sent[1:] == [b"X\0\0\0\x04"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("13.1", 130001), ("17.6 (Debian 17.6-1.pgdg12+1)", 170006), ("19beta1", 190000), ("19devel", 190000), ("", 0)],
)
def test_versions(text: str, number: int, listener: socket.socket, address: Conninfo) -> None:
    with server(listener, OK + version(text) + READY, READY), wire.connect_unhindered(address, timeout=5) as session:
        assert session.server_version == number


class TestQueries:
    @staticmethod
    def rows(*answers: bytes, listener: socket.socket, address: Conninfo) -> list[tuple[str | None, ...]]:
        with server(listener, LET_IN, b"".join(answers)), wire.connect_unhindered(address, timeout=5) as session:
            return session.rows("SELECT")

    def test_rows(self, listener: socket.socket, address: Conninfo) -> None:
        row = message("D", b"\0\x03" + b"\0\0\0\x01a" + b"\xff\xff\xff\xff" + b"\0\0\0\0")
        empty = message("D", b"\0\0")
        notice = message("N", b"SNOTICE\0Mlook\0\0")
        found = self.rows(notice, row, message("C", b"SELECT 1\0"), empty, READY, listener=listener, address=address)
        assert found == [("a", None, ""), ()]

    def test_errors_carry_what_the_server_said(self, listener: socket.socket, address: Conninfo) -> None:
        failure = error("23505", "Dtwice", "Hthink", "Wthere")
        with pytest.raises(ClientError) as caught:
            self.rows(failure, READY, listener=listener, address=address)
        assert (caught.value.message, caught.value.sqlstate) == ("no", "23505")
        assert caught.value.detail == "DETAIL: twice\nHINT: think\nCONTEXT: there"

    def test_a_lost_connection_is_an_error(self, listener: socket.socket, address: Conninfo) -> None:
        with (
            silent(listener, LET_IN),
            wire.connect_unhindered(address, timeout=5) as session,
            pytest.raises(ClientError, match="connection was lost"),
        ):
            session.rows("SELECT")
