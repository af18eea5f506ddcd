"""The environment of client programs: one server's variables, and of libpq's nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pg_ephemeral.postgres.conninfo import Conninfo, NetworkEndpoint, SslMode
from pg_ephemeral.postgres.environment import LIBPQ_VARIABLES, client_environment, without_libpq

CONNINFO = Conninfo(
    endpoint=NetworkEndpoint(host="127.0.0.1", port=5433),
    user="postgres",
    database="app",
    password="secret",
    sslmode=SslMode.DISABLE,
)
STRAY = dict.fromkeys(LIBPQ_VARIABLES, "stray") | {"DATABASE_URL": "stray", "PATH": "/bin", "PGX": "kept", "HOME": "/h"}


# fault: W36
def test_no_variable_of_libpq_is_left() -> None:
    assert without_libpq(STRAY) == {"PATH": "/bin", "PGX": "kept", "HOME": "/h"}


def test_every_variable_that_this_libpq_reads_is_known() -> None:
    from psycopg import pq

    read = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar is not None}
    assert read <= LIBPQ_VARIABLES


# acceptance: 76
def test_the_servers_variables_take_their_place() -> None:
    environment = client_environment(CONNINFO, base=STRAY)
    ours = CONNINFO.env() | {"DATABASE_URL": CONNINFO.url}
    assert environment == ours | {"PATH": "/bin", "PGX": "kept", "HOME": "/h"}


@pytest.mark.parametrize(("path", "expected"), [("/bin:/usr/bin", "/pg/bin:/bin:/usr/bin"), ("", "/pg/bin")])
def test_the_servers_programs_come_first(path: str, expected: str) -> None:
    assert client_environment(CONNINFO, base={"PATH": path}, path_first=Path("/pg/bin"))["PATH"] == expected


def test_our_own_environment_is_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    environment = client_environment(CONNINFO)
    assert environment["KEPT"] == "yes"
    assert "PGSERVICE" not in environment
