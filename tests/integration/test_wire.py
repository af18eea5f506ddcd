"""Our few words of the server's protocol, said to real servers: by socket and by TCP, with a password and with TLS."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pg_ephemeral import Definition, boot
from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client, wire
from pg_ephemeral.postgres.conninfo import SYSTEM_ROOTS, Conninfo, NetworkEndpoint, SslMode
from pg_ephemeral.server import SeedTarget
from support import machine


def tcp(target: SeedTarget) -> Conninfo:
    return target._handle.conninfo


def test_by_socket_and_with_a_password(server_target: SeedTarget) -> None:
    for conninfo in (server_target.conninfo, tcp(server_target)):
        with wire.connect_unhindered(replace(conninfo, application_name="greeter"), timeout=10) as session:
            settings = "current_setting('application_name'), current_setting('statement_timeout'), NULL, 'ä'"
            assert session.rows(f"SELECT {settings}; SELECT current_user") == [
                ("greeter", "0", None, "ä"),
                ("postgres",),
            ]
            with client.connect(server_target.conninfo) as other:
                assert session.server_version == other.server_version


def test_by_tcp_a_server_of_ours_proves_that_it_is(server_target: SeedTarget) -> None:
    wire.connect_unhindered(tcp(server_target), timeout=10, proven=True).close()


def test_after_an_error_it_goes_on(server_target: SeedTarget) -> None:
    with wire.connect_unhindered(server_target.conninfo, timeout=10) as session:
        with pytest.raises(ClientError) as caught:
            session.rows("SELECT 1; SELECT 1/0")
        assert caught.value.sqlstate == "22012"
        assert session.rows("SELECT 2") == [("2",)]


@pytest.mark.parametrize(
    "wrong",
    [{"password": "wrong"}, {"database": "nope"}, {"user": "nope"}, {"endpoint": NetworkEndpoint(host="x.invalid")}],
)
def test_a_refusal_is_an_error(wrong: dict[str, str], server_target: SeedTarget) -> None:
    with pytest.raises(ClientError) as caught:
        wire.try_connect(replace(tcp(server_target), **wrong), timeout=10)  # type: ignore[arg-type] # of one field each
    assert "\n" not in caught.value.message


@pytest.mark.needs("tls")
def test_with_tls_the_certificate_is_checked() -> None:
    definition = Definition().with_image(machine.with_tls().version.text).with_tls("db.example")
    with boot(definition) as server:
        with wire.connect_unhindered(server.conninfo, timeout=10) as session:
            assert session.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [("t",)]
        port = server.conninfo.endpoint.port
        other = NetworkEndpoint(host="other.example", host_addr="127.0.0.1", port=port)
        with pytest.raises(ClientError, match="certificate"):
            wire.try_connect(replace(server.conninfo, endpoint=other), timeout=10)


def test_a_server_without_tls_is_refused_where_it_is_wanted(server_target: SeedTarget) -> None:
    wanted = replace(tcp(server_target), sslmode=SslMode.VERIFY_FULL, sslrootcert=SYSTEM_ROOTS)
    with pytest.raises(ClientError, match="does not do TLS"):
        wire.try_connect(wanted, timeout=10)
