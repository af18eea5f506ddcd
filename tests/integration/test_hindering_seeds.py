"""Seeds and parameters that lock the superuser out, hinder sessions or hold locks: what they do not do to us."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pg_ephemeral import ClientError, Definition, NoCache, SeedFailed, Server, ServerError, boot
from pg_ephemeral.postgres import client
from pg_ephemeral.server import SeedTarget
from pg_ephemeral.shared_server.facts import BootRecord, described
from support import engines, machine

BACKENDS = ["embedded", *(pytest.param(name, marks=pytest.mark.needs(name)) for name in machine.ENGINES)]

#: Everything that a default of sessions can do to whoever connects next. ``{}`` is for what newer versions have.
_HINDRANCES = """
CREATE ROLE bob LOGIN;
ALTER ROLE ALL SET default_transaction_read_only = on;
ALTER ROLE ALL SET statement_timeout = '1ms';
ALTER DATABASE postgres SET lock_timeout = '1ms';
ALTER ROLE postgres SET role = bob;
SELECT format('ALTER ROLE ALL SET %I = 1', name) FROM pg_settings
    WHERE name IN ('idle_session_timeout', 'transaction_timeout')
\\gexec
"""


@pytest.fixture(autouse=True)
def _cache(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))


@pytest.fixture(params=BACKENDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Definition]:
    """Without seeds, under a name of its own."""
    instance = f"t-{secrets.token_hex(4)}"
    definition = Definition(directory=tmp_path).with_instance(instance).with_wait_available_timeout(60)
    if request.param == "embedded":
        yield definition.with_backend("embedded")
        return
    running = engines.containers(request.param)
    yield definition.with_image(machine.IMAGE).with_backend(request.param)
    assert engines.containers(request.param) == running
    engines.remove_images(request.param, instance)


def rows(server: Server, query: str) -> list[tuple[object, ...]]:
    with client.connect_unhindered(server.conninfo) as connection:
        return connection.rows(query)


class TestPassword:
    def test_a_seed_may_change_the_superusers(self, empty: Definition) -> None:
        (empty.directory / "t.csv").write_text("n\n3\n")
        definition = (
            empty.apply_sql_statement("table", "CREATE TABLE t AS SELECT 1 AS n; ALTER USER postgres PASSWORD 'x'")
            .apply_sql_statement("again", "INSERT INTO t VALUES (2); ALTER USER postgres PASSWORD 'y'")
            .apply_csv_file("csv", "t.csv", table="t")
        )
        for _ in ("cold", "warm"):
            with boot(definition) as server:
                assert rows(server, "SELECT n FROM t ORDER BY n") == [(1,), (2,), (3,)]

    def test_so_may_one_that_is_replayed(self, empty: Definition) -> None:
        (empty.directory / "t.csv").write_text("n\n3\n")
        change = "psql -c \"ALTER USER postgres PASSWORD 'x' VALID UNTIL '2000-01-01'\""
        definition = (
            empty.apply_sql_statement("table", "CREATE TABLE t AS SELECT 1 AS n")
            .apply_script("change", change, cache=NoCache())
            .apply_script("insert", "psql -c 'INSERT INTO t VALUES (2)'")
            .apply_csv_file("csv", "t.csv", table="t")
            .apply_script("change-again", change)
        )
        with boot(definition) as server:
            assert rows(server, "SELECT n FROM t ORDER BY n") == [(1,), (2,), (3,)]
            assert rows(server, "SELECT rolvaliduntil FROM pg_authid WHERE rolname = 'postgres'") == [(None,)]
            for conninfo in (server.conninfo, server.control):
                with pytest.raises(ClientError, match="password authentication failed"):
                    client.connect(replace(conninfo, password="x"))

    @pytest.mark.parametrize("cached", [True, False])
    def test_a_seed_may_connect_as_somebody_else(self, empty: Definition, cached: bool) -> None:
        if not cached:
            empty = empty.apply_script("break", "true", cache=NoCache())
        definition = empty.apply_sql_statement(
            "bob",
            "CREATE ROLE bob LOGIN; CREATE TABLE seen (who text); GRANT INSERT ON seen TO bob;\n"
            "\\c - bob\nINSERT INTO seen VALUES (current_user);",
        )
        with boot(definition) as server:
            assert rows(server, "SELECT who FROM seen") == [("bob",)]

    def test_a_superuser_who_may_not_log_in_any_more_is_the_seeds_fault(self, empty: Definition) -> None:
        definition = empty.apply_sql_statement("lock-out", "ALTER ROLE postgres NOLOGIN")
        with pytest.raises(ClientError, match=r"^seed 'lock-out': .*not permitted to log in"), boot(definition):
            pass
        definition = empty.apply_script("lock-out", "psql -c 'ALTER ROLE postgres NOLOGIN'", cache=NoCache())
        with pytest.raises(ClientError, match=r"^seed 'lock-out': .*not permitted to log in"), boot(definition):
            pass


class TestDefaultsOfSessions:
    def test_they_hinder_nobody_but_whom_they_are_for(self, empty: Definition) -> None:
        definition = (
            empty.apply_sql_statement("hinder", _HINDRANCES)
            .apply_script("after", "true")
            .apply_script("replayed", "true", cache=NoCache())
        )
        for _ in ("cold", "warm"):
            record = BootRecord()
            with boot(definition, progress=record) as server:
                assert described(server, record).version

    @pytest.mark.parametrize(
        ("name", "value"), [("default_transaction_read_only", True), ("statement_timeout", "1ms"), ("lock_timeout", 1)]
    )
    def test_parameters_do_not_either(self, empty: Definition, name: str, value: str | bool) -> None:
        with boot(empty.with_parameter(name, value).apply_script("nothing", "true")) as server:
            assert server.running

    def test_seeds_are_subject_to_them(self, empty: Definition) -> None:
        (empty.directory / "t.csv").write_text("n\n3\n")
        base = empty.apply_sql_statement(
            "read-only", "CREATE TABLE t (n int); ALTER DATABASE postgres SET default_transaction_read_only = on"
        )
        for definition in (
            base.apply_sql_statement("write", "CREATE TABLE other (n int)"),
            base.apply_csv_file("write", "t.csv", table="t"),
        ):
            with pytest.raises(SeedFailed, match=r"seed 'write': .*read-only transaction"), boot(definition):
                pass

    def test_none_is_left_on_a_connection_of_ours(self, server_target: SeedTarget) -> None:
        with client.connect(server_target.conninfo) as connection:
            version = connection.raw.info.server_version
            settings = {"default_transaction_read_only": "on", "statement_timeout": "1", "lock_timeout": "1"}
            settings |= {"idle_session_timeout": "1"} if version >= 140_000 else {}
            settings |= {"transaction_timeout": "1"} if version >= 170_000 else {}
            connection.execute("CREATE ROLE bob; ALTER ROLE postgres SET role = bob")
            for name, value in settings.items():
                connection.execute(f"ALTER ROLE postgres SET {name} = '{value}'")
        for _ in range(20):  # each may be ended between any two of its steps
            with client.connect_unhindered(server_target.conninfo, lock_timeout=2.5) as connection:
                shown = {name: connection.rows(f"SHOW {name}")[0][0] for name in (*settings, "role")}
                assert shown == dict.fromkeys(settings, "0") | {
                    "default_transaction_read_only": "off",
                    "lock_timeout": "2500ms",
                    "role": "none",
                }


class TestDatabases:
    def test_the_one_named_postgres_is_not_needed(self, empty: Definition) -> None:
        definition = (
            empty.with_database("app")
            .apply_sql_statement("drop", "DROP DATABASE postgres; CREATE TABLE t (n int)")
            .apply_sql_statement("insert", "INSERT INTO t VALUES (1)")
        )
        for _ in ("cold", "warm"):
            with boot(definition) as server:
                assert rows(server, "SELECT n, current_database() FROM t") == [(1, "app")]

    def test_the_template_may_be_closed(self, empty: Definition) -> None:
        closing = "CREATE TABLE t AS SELECT 1 AS n; ALTER DATABASE template1 ALLOW_CONNECTIONS false"
        definition = empty.apply_sql_statement("close", closing).apply_script("replayed", "true", cache=NoCache())
        for _ in ("cold", "warm"):
            with boot(definition) as server:
                assert rows(server, "SELECT n FROM t") == [(1,)]


class TestReplicationSlots:
    def test_what_one_waits_for_is_in_the_stage(self, empty: Definition) -> None:
        rows_of = "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series({}, {}) n"
        definition = (
            empty.with_parameter("wal_level", "logical")
            .apply_sql_statement("table", "CREATE TABLE t (n int PRIMARY KEY, x text)")
            .apply_sql_statement(
                "slot",
                "CREATE PUBLICATION changes FOR TABLE t;\n"
                "SELECT pg_create_logical_replication_slot('slot', 'pgoutput');\n" + rows_of.format(1, 30_000),
            )
            .apply_sql_statement("more", rows_of.format(30_001, 30_010))
            .apply_script(
                "replayed",
                # Only what is flushed is decoded.
                f"psql -c 'SET synchronous_commit = on' -c \"{rows_of.format(30_011, 30_020)}\"",
                cache=NoCache(),
            )
        )
        decode = (
            "SELECT count(*) FROM pg_logical_slot_get_binary_changes("
            "'slot', NULL, NULL, 'proto_version', '1', 'publication_names', 'changes') WHERE get_byte(data, 0) = 73"
        )
        for _ in ("cold", "warm"):
            with boot(definition) as server:
                assert rows(server, decode) == [(30_020,)], "an I for every row that was inserted"


class TestLocks:
    def test_a_prepared_transaction_is_reported(self, empty: Definition) -> None:
        definition = empty.with_parameter("max_prepared_transactions", 5).apply_sql_statement(
            "prepares", "BEGIN; CREATE ROLE somebody; PREPARE TRANSACTION 'it''s left';"
        )
        began = time.monotonic()
        with pytest.raises(ClientError) as caught, boot(definition):
            pass
        assert caught.value.message.startswith("seed 'prepares': ")
        assert '"it\'s left"' in caught.value.message
        assert "ROLLBACK PREPARED" in (caught.value.hint or "")
        assert time.monotonic() - began < 60

    def test_a_lock_is_not_waited_for_for_good(self, server_target: SeedTarget) -> None:
        with client.connect(server_target.conninfo) as holder:
            holder.execute("BEGIN; LOCK TABLE pg_authid IN SHARE MODE")
            with (
                client.connect_unhindered(server_target.conninfo, lock_timeout=0.05) as connection,
                pytest.raises(ClientError) as caught,
            ):
                connection.execute("VACUUM FULL pg_authid")
            assert caught.value.sqlstate == "55P03"


def test_a_server_that_never_answers_is_given_as_long_as_was_asked_for() -> None:
    definition = Definition().with_backend("embedded").with_parameter("pre_auth_delay", 60)
    began = time.monotonic()
    with (
        pytest.raises(ServerError, match=r"did not accept a connection within 1 s"),
        boot(definition.with_wait_available_timeout(1).apply_script("nothing", "true")),
    ):
        pass
    # Of the attempt that outlasts it, libpq's shortest is 2 s.
    assert time.monotonic() - began < 9
