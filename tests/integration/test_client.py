"""Our own connections to a real server: what may not redirect them, when they are refused, and housekeeping by them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.server import SeedTarget

#: A value for every variable of libpq that would keep it from connecting, or take it elsewhere.
HOSTILE = {
    "PGAPPNAME": "hostile",
    "PGCHANNELBINDING": "require",
    "PGCLIENTENCODING": "nonsense",
    "PGCONNECT_TIMEOUT": "nonsense",
    "PGDATABASE": "nonsense",
    "PGDATESTYLE": "nonsense",
    "PGGEQO": "nonsense",
    "PGGSSDELEGATION": "1",
    "PGGSSENCMODE": "require",
    "PGGSSLIB": "gssapi",
    "PGHOST": "/nonexistent",
    "PGHOSTADDR": "192.0.2.1",
    "PGKRBSRVNAME": "nonsense",
    "PGLOADBALANCEHOSTS": "random",
    "PGLOCALEDIR": "/nonexistent",
    "PGMAXPROTOCOLVERSION": "3.0",
    "PGMINPROTOCOLVERSION": "latest",
    "PGOPTIONS": "-c nonsense=1",
    "PGPASSFILE": "/nonexistent",
    "PGPASSWORD": "nonsense",
    "PGPORT": "1",
    "PGREQUIREAUTH": "gss",
    "PGREQUIREPEER": "nobody-here",
    "PGREQUIRESSL": "1",
    "PGSERVICE": "nonsense",
    "PGSERVICEFILE": "/nonexistent",
    "PGSSLCERT": "/nonexistent",
    "PGSSLCERTMODE": "require",
    "PGSSLCOMPRESSION": "1",
    "PGSSLCRL": "/nonexistent",
    "PGSSLCRLDIR": "/nonexistent",
    "PGSSLKEY": "/nonexistent",
    "PGSSLMAXPROTOCOLVERSION": "TLSv1.1",
    "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLROOTCERT": "/nonexistent",
    "PGSSLSNI": "0",
    "PGSYSCONFDIR": "/nonexistent",
    "PGTARGETSESSIONATTRS": "standby",
    "PGTZ": "nonsense",
    "PGUSER": "nonsense",
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def connection(server_target: SeedTarget) -> Iterator[Client]:
    with client.connect(server_target.conninfo) as opened:
        yield opened


def tcp(target: SeedTarget) -> Conninfo:
    return target._handle.conninfo


# fault: W36
class TestEnvironment:
    def test_every_variable_that_libpq_reads_is_tried(self) -> None:
        from psycopg import pq

        read = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar is not None}
        assert read <= HOSTILE.keys()

    @pytest.mark.usefixtures("hostile")
    def test_none_has_a_say(self, server_target: SeedTarget) -> None:
        for conninfo in (server_target.conninfo, tcp(server_target)):
            with client.connect(conninfo) as connection:
                settings = (
                    "current_setting('TimeZone'), current_setting('DateStyle'), current_setting('application_name')"
                )
                assert connection.rows(f"SELECT {settings}, current_user, current_database()") == [
                    ("Etc/UTC", "ISO, MDY", "", "postgres", "postgres")
                ]

    @pytest.mark.usefixtures("hostile")
    def test_callers_are_led_astray_no_more_than_we(self, server_target: SeedTarget) -> None:
        with client.connect_raw(tcp(server_target), application_name="mine", options="-c geqo=off") as connection:
            shown = connection.execute("SELECT current_setting('application_name'), current_setting('geqo')").fetchone()
            assert shown == ("mine", "off")

    @pytest.mark.usefixtures("hostile")
    def test_it_is_the_same_afterwards(self, server_target: SeedTarget) -> None:
        client.connect(server_target.conninfo).close()
        with pytest.raises(ClientError):
            client.connect(replace(server_target.conninfo, database="nope"))
        assert {name: os.environ.get(name) for name in HOSTILE} == HOSTILE


class TestErrors:
    def test_they_carry_what_the_server_said(self, connection: Client) -> None:
        connection.execute("CREATE TABLE t (a int PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES (%s)", (1,))
        with pytest.raises(ClientError) as caught:
            connection.execute("INSERT INTO t VALUES (1)")
        error = caught.value
        assert error.message == 'duplicate key value violates unique constraint "t_pkey"'
        assert error.sqlstate == "23505"
        assert error.detail == "DETAIL: Key (a)=(1) already exists."
        assert isinstance(error.__cause__, psycopg.errors.UniqueViolation)

    def test_an_interrupted_copy_leaves_nothing(self, connection: Client) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"1\n"
            raise KeyError("the source failed")

        connection.execute("CREATE TABLE t (a int)")
        with pytest.raises(KeyError, match="the source failed"):
            connection.copy_in("COPY t FROM STDIN", chunks())
        assert connection.rows("SELECT count(*) FROM t") == [(0,)]
        connection.copy_in("COPY t FROM STDIN", [b"1\n2", b"\n"])
        assert connection.rows("SELECT a FROM t ORDER BY a") == [(1,), (2,)]


def test_other_clients_are_gone_at_once(connection: Client, server_target: SeedTarget) -> None:
    with client.connect(server_target.conninfo) as idle, client.connect(server_target.conninfo) as busy:

        def sleep() -> None:
            with pytest.raises(ClientError):
                busy.execute("SELECT pg_sleep(60)")

        thread = threading.Thread(target=sleep)
        thread.start()
        client.terminate_clients(connection)
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        assert connection.rows(query) == [(1,)]
        thread.join()
        with pytest.raises(ClientError):
            idle.execute("SELECT 1")


def test_databases_one_can_enter(connection: Client) -> None:
    connection.execute('CREATE DATABASE "another one"')
    connection.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    connection.execute("CREATE DATABASE form IS_TEMPLATE true")
    assert client.databases(connection) == ["another one", "postgres"]


class TestFreeze:
    UNFROZEN = """
        SELECT relname::text FROM pg_class
        WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace
          AND pg_relation_size(oid) > 0 AND relallvisible < pg_relation_size(oid) / 8192 ORDER BY 1
    """

    def test_changed_tables_are_frozen_and_no_others(self, connection: Client, server_target: SeedTarget) -> None:
        with client.connect(server_target.conninfo) as seeding:
            seeding.execute('CREATE TABLE "Äpfel" AS SELECT generate_series(1, 1000) AS a')
            seeding.execute('CREATE MATERIALIZED VIEW view AS SELECT * FROM "Äpfel"')
            seeding.execute("CREATE TABLE empty (a int)")
            seeding.execute("CREATE TABLE parted (a int) PARTITION BY RANGE (a)")
            seeding.execute("CREATE TABLE part PARTITION OF parted DEFAULT")
            seeding.execute("INSERT INTO parted VALUES (1)")
        assert connection.rows(self.UNFROZEN) == [("part",), ("view",), ("Äpfel",)]
        client.freeze(connection)
        assert connection.rows(self.UNFROZEN) == []
        assert connection.rows("SELECT reltuples FROM pg_class WHERE relname = 'Äpfel'") == [(1000,)]

        with client.connect(server_target.conninfo) as seeding:
            seeding.execute("UPDATE part SET a = 2")
        client.terminate_clients(connection)
        client.freeze(connection)
        counts = "SELECT relname::text, vacuum_count FROM pg_stat_user_tables WHERE vacuum_count > 0 ORDER BY 1"
        assert connection.rows(counts) == [("part", 2), ("view", 1), ("Äpfel", 1)]

    def test_a_rewritten_table_counts_as_changed(self, connection: Client, server_target: SeedTarget) -> None:
        with client.connect(server_target.conninfo) as seeding:
            seeding.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS a")
        client.freeze(connection)
        with client.connect(server_target.conninfo) as seeding:
            seeding.execute("ALTER TABLE t ALTER a TYPE bigint")
        assert connection.rows(self.UNFROZEN) == [("t",)]
        client.freeze(connection)
        assert connection.rows(self.UNFROZEN) == []

    def test_a_table_that_cannot_be_analysed_is_no_failure(self, connection: Client) -> None:
        connection.execute("CREATE FUNCTION f(a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT a'")
        connection.execute("CREATE TABLE t (a int)")
        connection.execute("CREATE INDEX ON t (f(a))")
        connection.execute("INSERT INTO t VALUES (0)")
        connection.execute(
            "CREATE OR REPLACE FUNCTION f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1 / a; END'"
        )
        client.freeze(connection)
        assert connection.rows("SELECT a FROM t") == [(0,)]
