"""Clones of a seeded database on real servers: what is in them, who may disturb whom, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pg_ephemeral import Definition, Server, boot
from pg_ephemeral.backends.base import Handle
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.databases import Database, Databases, Kind, Options, Strategy
from pg_ephemeral.databases.template import prepare
from pg_ephemeral.errors import ClientError, ServerError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.names import quote_literal
from pg_ephemeral.server import SeedTarget
from support import machine
from support.project import eventually

SEEDED = "shop"

SCHEMA = """
    CREATE TABLE items (id serial PRIMARY KEY, name text NOT NULL);
    INSERT INTO items (name) SELECT 'item ' || n FROM generate_series(1, 100) AS n;
    CREATE EXTENSION pg_prewarm;
    CREATE SEQUENCE numbers;
    SELECT setval('numbers', 4711)
"""

PROPERTIES = """
    ALTER DATABASE shop SET search_path = 'My Schema', public;
    ALTER DATABASE shop SET session_preload_libraries = '$libdir/pg_prewarm';
    ALTER ROLE reader IN DATABASE shop SET work_mem = '7MB';
    REVOKE ALL ON DATABASE shop FROM PUBLIC;
    GRANT CONNECT ON DATABASE shop TO reader WITH GRANT OPTION;
    COMMENT ON DATABASE shop IS 'the shop''s';
    ALTER DATABASE shop CONNECTION LIMIT 77;
    ALTER DATABASE shop OWNER TO keeper
"""


@pytest.fixture
def handle(server_target: SeedTarget) -> Handle:
    return server_target._handle


@pytest.fixture
def control(handle: Handle) -> Conninfo:
    return handle.control


@pytest.fixture
def admin(control: Conninfo) -> Iterator[Client]:
    with client.connect(replace(control, database="postgres")) as opened:
        yield opened


@pytest.fixture
def seeded(handle: Handle, admin: Client) -> Conninfo:
    """The caller's connection to a database with some content."""
    admin.execute("CREATE ROLE reader")
    admin.execute("CREATE ROLE keeper")
    admin.execute(f"CREATE DATABASE {SEEDED}")
    conninfo = replace(handle.conninfo, database=SEEDED)
    with client.connect(conninfo) as connection:
        connection.execute(SCHEMA)
    for statement in PROPERTIES.split(";\n"):
        admin.execute(statement)
    return conninfo


@pytest.fixture
def databases(control: Conninfo, seeded: Conninfo) -> Iterator[Databases]:
    with Databases(control, seeded) as opened:
        yield opened


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, if there is such a thing here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def count(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM public.items").fetchone()
        assert row is not None
        return int(row[0])


def clones_left(admin: Client) -> list[str]:
    return [name for (name,) in admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%' ORDER BY 1")]


def until(admin: Client, condition: str, *parameters: object) -> None:
    """Wait for this condition, asked of the server; a test's own time limit is its failure."""
    for _ in range(10_000):
        if admin.rows(f"SELECT {condition}", parameters) == [(True,)]:
            return
        admin.execute("SELECT pg_sleep(0.005)")
    pytest.fail(f"never: {condition}")


class TestContent:
    def test_two_clones_are_apart(self, databases: Databases) -> None:
        with databases.database() as one, databases.database() as other:
            assert one.name != other.name
            # The token is the process's.
            assert one.name.rpartition("_")[0] == other.name.rpartition("_")[0]
            with one.connect() as connection:
                connection.execute("DELETE FROM public.items")
            assert (count(one), count(other)) == (0, 100)

    def test_a_clone_has_what_the_seeded_database_has(self, databases: Databases, seeded: Conninfo) -> None:
        def content(connection: psycopg.Connection[tuple[object, ...]]) -> list[object]:
            return [
                connection.execute(query).fetchall()
                for query in (
                    "SELECT * FROM public.items ORDER BY 1",
                    "SELECT last_value, is_called FROM public.numbers",
                    "SELECT extname, extversion FROM pg_extension ORDER BY 1",
                    "SHOW search_path",
                    "SHOW session_preload_libraries",
                    """SELECT datacl, pg_get_userbyid(datdba), datconnlimit, encoding, datcollate, datctype,
                              shobj_description(oid, 'pg_database'), dattablespace, datallowconn, datistemplate
                       FROM pg_database WHERE datname = current_database()""",
                    """SELECT setrole::regrole, setconfig FROM pg_db_role_setting JOIN pg_database d
                       ON setdatabase = d.oid WHERE datname = current_database() ORDER BY 1""",
                    """SELECT refclassid::regclass, refobjid, deptype FROM pg_shdepend JOIN pg_database d
                       ON objid = d.oid AND classid = 'pg_database'::regclass WHERE datname = current_database()
                       ORDER BY 1, 2, 3""",
                )
            ]

        with databases.database() as clone, clone.connect() as in_clone:
            with client.connect_raw(seeded) as in_seeded:
                expected = content(in_seeded)
            assert content(in_clone) == expected
            assert any(str(part).find("My Schema") >= 0 for part in expected)

    def test_a_dropped_clone_leaves_no_properties(self, databases: Databases, admin: Client) -> None:
        with databases.database() as clone:
            ((oid,),) = admin.rows("SELECT oid::int8 FROM pg_database WHERE datname = %s", (clone.name,))
        databases.close()
        for table, column in (("pg_db_role_setting", "setdatabase"), ("pg_shdepend", "objid")):
            assert admin.rows(f"SELECT count(*) FROM {table} WHERE {column} = %s", (oid,)) == [(0,)]
        admin.execute("DROP OWNED BY reader")

    @pytest.mark.parametrize("strategy", list(Strategy))
    def test_every_strategy_makes_the_same(self, control: Conninfo, seeded: Conninfo, strategy: Strategy) -> None:
        with client.connect(control) as connection:
            from pg_ephemeral.postgres.clones import strategies

            if strategy not in strategies(connection):
                pytest.skip("not in this version")
        with Databases(control, seeded, Options(strategy=strategy)) as databases, databases.database() as clone:
            assert count(clone) == 100
            assert databases.timings.strategy == strategy

    @pytest.mark.skipif(machine.servers_are_foreign(), reason="the directory has to be the servers' user's")
    def test_clones_are_in_the_tablespace_asked_for(
        self, control: Conninfo, seeded: Conninfo, admin: Client, elsewhere: Path
    ) -> None:
        admin.execute(f"CREATE TABLESPACE memory LOCATION '{elsewhere}'")
        # On another file system files cannot be cloned: no reason to fail.
        with Databases(control, seeded, Options(tablespace="memory", connections=3)) as databases:
            for _ in range(6):
                with databases.database() as clone:
                    assert count(clone) == 100
            directory = prepare(control, SEEDED, tablespace="memory").directory
            assert directory is not None
            assert Path(directory).resolve() == elsewhere.resolve()
            spaces = admin.rows(
                "SELECT DISTINCT spcname FROM pg_database AS d JOIN pg_tablespace AS t ON t.oid = dattablespace "
                "WHERE datname LIKE 'test\\_%%'"
            )
            assert spaces == [("memory",)]

    def test_the_database_everybody_connects_to_can_be_cloned(self, control: Conninfo, handle: Handle) -> None:
        seeded = replace(handle.conninfo, database="postgres")
        with client.connect(seeded) as connection:
            connection.execute("CREATE TABLE items AS SELECT 1")
        with Databases(control, seeded) as databases, databases.database() as clone:
            assert count(clone) == 1

    def test_what_happens_to_the_seeded_database_later_does_not_matter(
        self, databases: Databases, seeded: Conninfo, admin: Client
    ) -> None:
        with databases.database() as one:
            assert count(one) == 100
        with client.connect_raw(seeded) as busy:
            busy.execute("DELETE FROM public.items")
            for _ in range(4):
                with databases.database() as clone:
                    assert count(clone) == 100
        admin.execute(f"DROP DATABASE {SEEDED} WITH (FORCE)")
        with databases.database() as clone:
            assert count(clone) == 100

    def test_a_server_with_hostile_settings_is_cloned_on(self, databases: Databases, admin: Client) -> None:
        for setting in ("default_transaction_read_only = on", "statement_timeout = 1", "lock_timeout = 1"):
            admin.execute(f"ALTER SYSTEM SET {setting}")
        admin.execute("SELECT pg_reload_conf()")
        taken = databases.take()
        assert taken.name.startswith("test_")

    def test_how_to_connect_is_told_in_every_spelling(self, databases: Databases, seeded: Conninfo) -> None:
        with databases.database() as clone:
            assert clone.conninfo == replace(seeded, database=clone.name)
            assert clone.url == clone.conninfo.url == clone.env()["DATABASE_URL"]
            assert clone.env()["PGDATABASE"] == clone.name
            assert str(seeded.password) not in repr(clone)
            with clone.connect(autocommit=False) as connection:
                assert not connection.autocommit


class TestDisturbance:
    def test_an_idle_transaction_on_the_seeded_database_is_ended(self, databases: Databases, seeded: Conninfo) -> None:
        idle = client.connect_raw(seeded)
        idle.execute("BEGIN")
        idle.execute("DELETE FROM public.items")
        with databases.database() as clone:
            assert count(clone) == 100
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
        idle.close()
        client.connect(seeded).close()

    def test_a_client_that_always_comes_back_does_no_harm(self, databases: Databases, seeded: Conninfo) -> None:
        stop = threading.Event()
        seen = []

        def reconnect() -> None:
            while not stop.is_set():
                try:
                    with client.connect(seeded, timeout=2) as connection:
                        seen.append(True)
                        connection.execute("SELECT pg_sleep(60)")
                except ClientError:
                    continue

        threads = [threading.Thread(target=reconnect) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            while not seen:
                threading.Event().wait(0.001)
            with databases.database() as clone:
                assert count(clone) == 100
        finally:
            stop.set()
            with client.connect(replace(databases._control, database="template1")) as connection:
                while any(thread.is_alive() for thread in threads):
                    connection.rows(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (SEEDED,)
                    )
        assert seen

    def test_a_background_worker_of_the_seeded_database_is_ended(
        self, databases: Databases, seeded: Conninfo, admin: Client
    ) -> None:
        parallel = "debug_parallel_query" if admin.raw.info.server_version >= 160_000 else "force_parallel_mode"
        failed = []
        with client.connect(seeded) as connection:
            connection.execute(f"SET {parallel} = on")
            connection.execute(
                "CREATE FUNCTION public.wait() RETURNS void PARALLEL SAFE LANGUAGE sql AS 'SELECT pg_sleep(60)'"
            )

            def wait() -> None:
                try:
                    connection.rows("SELECT public.wait()")
                except ClientError as error:
                    failed.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            until(
                admin,
                "EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s AND backend_type = 'parallel worker')",
                SEEDED,
            )
            with databases.database() as clone:
                assert count(clone) == 100
            thread.join()
        assert failed

    def test_a_worker_of_a_subscription_is_ended_and_comes_back(self, warm_cache: Path) -> None:
        with replicating_server(warm_cache) as (server, admin):
            subscribe(admin, server.conninfo)
            with Databases(server.control, server.conninfo) as databases, databases.database() as clone:
                assert count(clone) == 100
            until(admin, _REPLICATES, server.conninfo.database)

    def test_a_killed_process_leaves_nothing_that_hinders(
        self, databases: Databases, seeded: Conninfo, admin: Client
    ) -> None:
        ((oid,),) = admin.rows("SELECT oid::int8 FROM pg_database WHERE datname = %s", (SEEDED,))
        admin.execute(f"CREATE DATABASE pg_ephemeral_template_{oid}_making")
        admin.execute(f"ALTER DATABASE {SEEDED} ALLOW_CONNECTIONS false")
        with databases.database() as clone:
            assert count(clone) == 100
        client.connect(seeded).close()
        assert admin.rows("SELECT count(*) FROM pg_database WHERE datname LIKE '%%making'") == [(0,)]


#: Whether a worker of a subscription is connected to a database.
_REPLICATES = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s AND backend_type LIKE 'logical replication%%')"


@contextmanager
def replicating_server(cache: Path) -> Iterator[tuple[Server, Client]]:
    """A server with items in its database, and another one to subscribe to; and a connection of ours."""
    parameters = {"wal_level": "logical", "max_wal_senders": "4", "wal_retrieve_retry_interval": "50ms"}
    definition = Definition()
    for name, value in parameters.items():
        definition = definition.with_parameter(name, value)
    with boot(definition, backend=EmbeddedBackend(definition.image, cache=cache)) as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE items AS SELECT generate_series(1, 100) AS id")
            connection.execute("CREATE DATABASE publisher")
        with client.connect(replace(server.conninfo, database="publisher")) as publisher:
            publisher.execute("CREATE PUBLICATION everything")
        with client.connect(replace(server.control, database="template1")) as admin:
            yield server, admin


def subscribe(admin: Client, conninfo: Conninfo) -> None:
    """Subscribe this database to the other one, and wait until a worker of it is connected."""
    slot = f"slot_{conninfo.database}"
    with client.connect(replace(conninfo, database="publisher")) as publisher:
        publisher.rows("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
    origin = quote_literal(replace(conninfo, database="publisher").connection_string)
    with client.connect(conninfo) as connection:
        connection.execute(
            f'CREATE SUBSCRIPTION "to all" CONNECTION {origin} PUBLICATION everything '
            f"WITH (create_slot = false, slot_name = {slot})"
        )
    until(admin, _REPLICATES, conninfo.database)


def test_prepared_transactions_are_named_in_the_seeded_database_and_undone_in_clones(warm_cache: Path) -> None:
    definition = Definition().with_parameter("max_prepared_transactions", "3")
    with boot(definition, backend=EmbeddedBackend(definition.image, cache=warm_cache)) as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE items (x int)")
            connection.execute("BEGIN; INSERT INTO items VALUES (1); PREPARE TRANSACTION 'a''b'")
            with Databases(server._handle.control, server.conninfo) as databases:
                for _ in range(3):
                    with pytest.raises(ClientError, match="prepared transaction") as caught:
                        databases.take()
                    assert "ROLLBACK PREPARED" in str(caught.value.hint)
                connection.execute("ROLLBACK PREPARED 'a''b'")
                with databases.database() as clone, clone.connect() as inside:
                    inside.execute("BEGIN; INSERT INTO items VALUES (1); PREPARE TRANSACTION 'c'")
        with client.connect(replace(server._handle.control, database="template1")) as admin:
            assert clones_left(admin) == []


class TestHandingOut:
    @pytest.mark.parametrize("ready", [0, 2])
    def test_eight_threads_get_a_database_each(self, control: Conninfo, seeded: Conninfo, ready: int) -> None:
        with Databases(control, seeded, Options(ready=ready)) as databases:

            def use(_: int) -> str:
                with databases.database() as clone:
                    with clone.connect() as connection:
                        connection.execute("DELETE FROM public.items WHERE id = 1")
                    assert count(clone) == 99
                    return clone.name

            with ThreadPoolExecutor(8) as threads:
                names = list(threads.map(use, range(24)))
            assert len(set(names)) == 24
            assert databases.timings.takes == 24
            assert databases.timings.longest <= databases.timings.waited

    def test_three_processes_share_one_template(self, control: Conninfo, seeded: Conninfo, admin: Client) -> None:
        program = """
import sys
from pg_ephemeral.databases import Databases
from pg_ephemeral.postgres.conninfo import Conninfo
control, seeded = (Conninfo.parse_url(line.strip()) for line in sys.stdin)
with Databases(control, seeded) as databases:
    for _ in range(5):
        with databases.database() as clone, clone.connect() as connection:
            connection.execute("DELETE FROM public.items WHERE id = 1")
            assert connection.execute("SELECT count(*) FROM public.items").fetchone() == (99,)
            print(clone.name)
"""
        running = [
            subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        outputs = []
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{control.url}\n{seeded.url}\n")
            process.stdin.close()
        for process in running:
            assert process.stdout is not None
            outputs += process.stdout.read().split()
            process.stdout.close()
            assert process.wait() == 0
        assert len(set(outputs)) == 15
        assert admin.rows("SELECT count(*) FROM pg_database WHERE datistemplate AND datname LIKE 'pg_eph%%'") == [(1,)]
        assert clones_left(admin) == []

    def test_a_forked_process_starts_afresh(self, databases: Databases) -> None:
        with databases.database() as mine:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with databases.database() as theirs:
                        os.write(writing, f"{theirs.name} {count(theirs)}".encode())
                    databases.close()
                    status = 0
                finally:
                    os._exit(status)
            os.close(writing)
            _, status = os.waitpid(child, 0)
            with os.fdopen(reading) as pipe:
                name, rows = pipe.read().split()
            assert status == 0
            assert rows == "100"
            assert name.rpartition("_")[0] != mine.name.rpartition("_")[0]
            assert count(mine) == 100
            assert count(databases.take()) == 100

    def test_the_shared_one_is_only_read(self, databases: Databases) -> None:
        with databases.database(read_only=True) as one, databases.database(read_only=True) as other:
            assert one is other
            assert count(one) == 100
            with one.connect() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("DELETE FROM public.items")
        databases.give_back(one)
        assert count(databases.shared()) == 100
        assert databases.shared() is one

    def test_a_reset_database_is_as_it_was(self, databases: Databases) -> None:
        with databases.database() as clone:
            left_open = clone.connect()
            left_open.execute("DELETE FROM public.items")
            before = clone.conninfo
            clone.reset()
            assert clone.conninfo == before
            assert count(clone) == 100
            with pytest.raises(psycopg.OperationalError):
                left_open.execute("SELECT 1")
            left_open.close()
            clone.reset()
            assert count(clone) == 100

    def test_a_reset_shared_database_is_still_only_read(self, databases: Databases) -> None:
        shared = databases.shared()
        with shared.connect(options="-c default_transaction_read_only=off") as connection:
            connection.execute("DELETE FROM public.items")
        shared.reset()
        assert count(shared) == 100
        with shared.connect() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM public.items")

    def test_connections_left_open_are_ended(self, databases: Databases, admin: Client) -> None:
        with databases.database() as clone:
            left_open = clone.connect()
        until(admin, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s)", clone.name)
        with pytest.raises(psycopg.OperationalError):
            left_open.execute("SELECT 1")
        left_open.close()


class TestConnectingAhead:
    def test_whoever_connects_next_need_not_wait_for_it(self, databases: Databases) -> None:
        pid = connected_ahead(databases)
        with databases.database(connecting=Kind.SYNC) as clone:
            with clone.connect() as connection:
                assert connection.info.backend_pid == pid
                assert connection.info.dbname == clone.name
                assert connection.autocommit
                assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
            with clone.connect() as connection:
                assert connection.info.backend_pid != pid
                assert count(clone) == 100

    def test_a_transaction_can_be_asked_for(self, databases: Databases) -> None:
        pid = connected_ahead(databases)
        with databases.database(connecting=Kind.SYNC) as clone:
            with clone.connect(autocommit=False) as connection:
                assert connection.info.backend_pid == pid
                connection.execute("DELETE FROM public.items")
                connection.rollback()
            assert count(clone) == 100

    def test_an_asynchronous_one_need_not_be_waited_for_either(self, databases: Databases) -> None:
        pid = connected_ahead(databases, Kind.ASYNC)

        async def ask(connection: psycopg.AsyncConnection[Any]) -> object:
            async with connection:
                return await (await connection.execute("SELECT count(*) FROM public.items")).fetchone()

        with databases.database(connecting=Kind.ASYNC) as clone:
            connection = clone.connect_async()
            assert connection.info.backend_pid == pid
            assert asyncio.run(ask(connection)) == (100,)
            assert asyncio.run(ask(clone.connect_async())) == (100,)

    def test_whoever_does_not_connect_gets_a_clone_nobody_was_connected_to(
        self, databases: Databases, admin: Client
    ) -> None:
        pid = connected_ahead(databases)
        with databases.database() as clone:
            admin.execute(f"ALTER DATABASE {clone.name} RENAME TO test_other")
            admin.execute(f"ALTER DATABASE test_other RENAME TO {clone.name}")
        with databases.database(connecting=Kind.SYNC) as clone, clone.connect() as connection:
            assert connection.info.backend_pid == pid

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER ROLE postgres SET work_mem = '5MB'",
            "ALTER DATABASE {name} SET work_mem = '5MB'",
            "ALTER ROLE postgres IN DATABASE {name} SET work_mem = '5MB'",
        ],
    )
    def test_settings_are_those_of_the_moment(self, databases: Databases, admin: Client, statement: str) -> None:
        connected_ahead(databases)
        with databases.database(connecting=Kind.SYNC) as clone:
            admin.execute(statement.format(name=clone.name))
            with clone.connect() as connection:
                assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
            assert sessions(admin, clone) == 0

    def test_what_others_set_for_themselves_does_not_matter(self, databases: Databases, admin: Client) -> None:
        pid = connected_ahead(databases)
        admin.execute("ALTER ROLE reader SET work_mem = '5MB'")
        admin.execute("ALTER DATABASE template1 SET work_mem = '5MB'")
        with databases.database(connecting=Kind.SYNC) as clone, clone.connect() as connection:
            assert connection.info.backend_pid == pid

    def test_one_that_the_server_has_ended_is_made_anew(self, databases: Databases, admin: Client) -> None:
        pid = connected_ahead(databases)
        admin.rows("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        with databases.database(connecting=Kind.SYNC) as clone, clone.connect() as connection:
            assert connection.execute("SELECT count(*) FROM public.items").fetchone() == (100,)

    @pytest.mark.parametrize("kind", list(Kind))
    def test_one_that_is_not_what_is_wanted_is_ended(self, databases: Databases, admin: Client, kind: Kind) -> None:
        pid = connected_ahead(databases, kind)
        with databases.database(connecting=Kind.SYNC) as clone:
            with clone.connect(options="-c work_mem=5MB") as connection:
                assert connection.info.backend_pid != pid
                assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
            assert sessions(admin, clone) == 0

    @pytest.mark.parametrize("kind", list(Kind))
    def test_one_that_nobody_asks_for_is_ended(self, databases: Databases, admin: Client, kind: Kind) -> None:
        connected_ahead(databases, kind)
        clone = databases.take(connecting=kind)
        assert sessions(admin, clone) == 1
        clone.reset()
        assert sessions(admin, clone) == 0
        assert count(clone) == 100
        databases.give_back(clone)
        connected_ahead(databases, kind)
        with databases.database(connecting=kind) as clone:
            databases.keep(clone)
        assert sessions(admin, clone) == 0

    @pytest.mark.parametrize("drop", [True, False])
    def test_closing_ends_it(self, control: Conninfo, seeded: Conninfo, admin: Client, drop: bool) -> None:
        databases = Databases(control, seeded)
        pid = connected_ahead(databases)
        databases.close(drop=drop)
        until(admin, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
        assert bool(clones_left(admin)) is not drop

    def test_it_is_one_of_the_connections_the_pool_may_have(
        self, control: Conninfo, seeded: Conninfo, admin: Client
    ) -> None:
        with Databases(control, seeded, Options(connections=2)) as databases:
            connected_ahead(databases)
            until_ready(databases)
            assert our_connections() == 1
        with Databases(control, seeded, Options(connections=1)) as databases:
            databases.give_back(databases.take(connecting=Kind.SYNC))
            until_ready(databases)
            with databases.database(connecting=Kind.SYNC) as clone:
                assert sessions(admin, clone) == 0

    def test_a_forked_process_leaves_it_alone(self, databases: Databases) -> None:
        pid = connected_ahead(databases)
        with databases.database(connecting=Kind.SYNC) as clone:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with clone.connect() as connection:
                        status = int(connection.info.backend_pid == pid)
                    databases.give_back(clone)
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            with clone.connect() as connection:
                assert connection.info.backend_pid == pid


class TestClearing:
    def test_closing_drops_everything_but_what_is_kept(self, databases: Databases, admin: Client) -> None:
        kept = databases.take()
        databases.keep(kept)
        databases.take()
        databases.shared()
        with databases.database():
            pass
        databases.give_back(kept)
        databases.close()
        assert clones_left(admin) == [kept.name]
        assert count(kept) == 100

    def test_one_that_cannot_be_dropped_keeps_no_other_from_it(self, databases: Databases, admin: Client) -> None:
        stubborn = [databases.take(), databases.take()]
        take_many(databases)
        for one in stubborn:
            admin.execute(f"ALTER DATABASE {one.name} IS_TEMPLATE true")
        databases.give_back(stubborn[1])
        databases.close()
        assert clones_left(admin) == sorted(one.name for one in stubborn)

    def test_subscriptions_and_slots_of_clones_go_with_them(self, warm_cache: Path) -> None:
        with replicating_server(warm_cache) as (server, admin):
            with Databases(server.control, server.conninfo) as databases, databases.database() as clone:
                subscribe(admin, clone.conninfo)
                other = databases.take()
                with other.connect() as connection:
                    connection.execute("SELECT pg_create_logical_replication_slot('unused', 'pgoutput')")
            assert clones_left(admin) == []

    def test_clones_are_not_forgotten_when_the_server_is_crowded(
        self, control: Conninfo, seeded: Conninfo, admin: Client, handle: Handle
    ) -> None:
        with Databases(control, seeded) as databases:
            databases.take()
            until_ready(databases)
            admin.rows(_END_OURS)
            until(admin, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg-ephemeral')")
            with crowd(handle):
                before = refusals(handle)
                with ThreadPoolExecutor(1) as thread:
                    taken = thread.submit(databases.take)
                    eventually(lambda: refusals(handle) > before)
                    admin.rows(_END_CROWD)
                    assert count(taken.result()) == 100
        assert clones_left(admin) == []

    def test_a_closed_one_says_so(self, databases: Databases) -> None:
        databases.close()
        databases.close()
        with pytest.raises(ClientError, match="closed"):
            databases.take()

    def test_the_server_can_be_left_to_clear_up(self, databases: Databases, admin: Client) -> None:
        taken = databases.take()
        databases.close(drop=False)
        assert taken.name in clones_left(admin)

    def test_what_is_done_with_goes_when_there_is_no_room(
        self, control: Conninfo, seeded: Conninfo, admin: Client
    ) -> None:
        with Databases(control, seeded, Options(disk=0)) as databases:
            with databases.database() as clone:
                assert count(clone) == 100
            until(admin, "NOT EXISTS (SELECT FROM pg_database WHERE datname = %s)", clone.name)
            assert clones_left(admin) == []

    def test_what_is_done_with_goes_when_it_is_quiet(self, databases: Databases, admin: Client) -> None:
        with databases.database() as clone:
            pass
        until(admin, "NOT EXISTS (SELECT FROM pg_database WHERE datname = %s)", clone.name)

    def test_nothing_is_made_ahead_without_a_pool(self, control: Conninfo, seeded: Conninfo, admin: Client) -> None:
        with Databases(control, seeded, Options(ready=0)) as databases:
            first, second = databases.take(), databases.take()
            assert clones_left(admin) == sorted([first.name, second.name])
            assert databases.timings.clones == 2

    @pytest.mark.parametrize("connections", [0, 1, 4])
    def test_the_budget_of_connections_is_kept(self, control: Conninfo, seeded: Conninfo, connections: int) -> None:
        seen: set[int] = set()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.005):
                seen.add(our_connections())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with Databases(control, seeded, Options(connections=connections, disk=30_000_000)) as databases:

                def use(_: int) -> None:
                    with databases.database() as clone:
                        clone.reset()
                        assert count(clone) == 100

                with ThreadPoolExecutor(4) as threads:
                    list(threads.map(use, range(8)))
        finally:
            done.set()
            watcher.join()
        # One is for a clone that is handed out connected.
        assert max(seen) == (3 if connections == 4 else 1)
        assert our_connections() == 0

    def test_where_connections_are_few_everybody_gets_one(self, warm_cache: Path) -> None:
        definition = Definition().with_parameter("max_connections", "12")
        with boot(definition, backend=EmbeddedBackend(definition.image, cache=warm_cache)) as server:
            with server.connect() as connection:
                connection.execute("CREATE TABLE items AS SELECT generate_series(1, 100) AS id")

            def use(_: int) -> list[str]:
                names = []
                with Databases(server.control, server.conninfo, Options(ready=0, connections=0)) as databases:
                    for _ in range(3):
                        with databases.database() as clone:
                            assert count(clone) == 100
                            names.append(clone.name)
                return names

            with ThreadPoolExecutor(6) as threads:
                names = [name for found in threads.map(use, range(6)) for name in found]
            assert len(set(names)) == 18
            with client.connect(replace(server.control, database="template1")) as admin:
                assert clones_left(admin) == []

    @pytest.mark.needs("root")
    def test_what_is_done_with_makes_room_on_a_full_disk(
        self, control: Conninfo, seeded: Conninfo, admin: Client, tmp_path: Path
    ) -> None:
        with small_disk(tmp_path) as disk:
            admin.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            with Databases(control, seeded, Options(ready=0, tablespace="small", disk=1 << 30)) as databases:
                for _ in range(12):
                    with databases.database() as clone:
                        assert count(clone) == 100
                # Nor does one that will not go keep the others from it.
                stubborn = databases.take()
                admin.execute(f"ALTER DATABASE {stubborn.name} IS_TEMPLATE true")
                databases.give_back(stubborn)
                for _ in range(6):
                    with databases.database() as clone:
                        assert count(clone) == 100
            assert clones_left(admin) == [stubborn.name]
            admin.execute(f"ALTER DATABASE {stubborn.name} IS_TEMPLATE false")
            admin.execute(f"DROP DATABASE {stubborn.name}")
            admin.execute("DROP TABLESPACE small")


class TestResetting:
    def test_a_reset_that_fails_leaves_the_database_and_loses_no_other(
        self, control: Conninfo, seeded: Conninfo, admin: Client
    ) -> None:
        with Databases(control, seeded, Options(ready=1)) as databases:
            clone = databases.take()
            until_ready(databases)
            [fresh] = [name for name in clones_left(admin) if name != clone.name]
            with clone.connect() as connection:
                connection.execute("DELETE FROM public.items")
            # Whoever is connected to a database keeps it from being renamed.
            with client.connect(replace(control, database=fresh)), pytest.raises(ClientError, match="accessed"):
                clone.reset()
            assert count(clone) == 0
            clone.reset()
            assert count(clone) == 100
        assert clones_left(admin) == []


class TestTrouble:
    def test_a_failure_reaches_those_alone_for_whom_there_is_nothing(self, databases: Databases, admin: Client) -> None:
        databases.take()
        until_ready(databases)
        ((template,),) = admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'pg\\_ephemeral%%'")
        admin.execute(f"ALTER DATABASE {template} RENAME TO elsewhere")
        for _ in range(databases.options.ready):
            assert count(databases.take()) == 100
        for _ in range(2):
            with pytest.raises(ClientError, match="does not exist"):
                databases.take()
        admin.execute(f"ALTER DATABASE elsewhere RENAME TO {template}")
        for _ in range(3):
            assert count(databases.take()) == 100

    def test_a_seeded_database_that_is_not_there_is_named(self, control: Conninfo, seeded: Conninfo) -> None:
        with (
            Databases(control, replace(seeded, database="nowhere")) as databases,
            pytest.raises(ClientError, match="'nowhere'"),
        ):
            databases.take()

    def test_our_connections_may_be_ended_by_others(self, databases: Databases, admin: Client) -> None:
        databases.take()
        admin.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg-ephemeral'")
        for _ in range(6):
            assert count(databases.take()) == 100

    @pytest.mark.parametrize("ready", [0, 2])
    def test_a_dead_server_is_told_at_once(
        self, control: Conninfo, seeded: Conninfo, handle: Handle, ready: int
    ) -> None:
        with Databases(control, seeded, Options(ready=ready)) as databases:
            databases.take()
            until_ready(databases)
            handle.cluster.discard()  # type: ignore[attr-defined] # an embedded handle
            for _ in range(2):
                with pytest.raises(ServerError, match="cannot be reached"):
                    databases.take()


_END_OURS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg-ephemeral'"
_END_CROWD = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crowd'"


@contextmanager
def crowd(handle: Handle) -> Iterator[None]:
    """Others take every connection the server has."""
    conninfo = replace(handle.control, database="postgres", application_name="crowd")
    held: list[Client] = []
    with suppress(ClientError):
        while True:
            held.append(client.connect(conninfo))
    try:
        yield
    finally:
        for connection in held:
            connection.close()


def refusals(handle: Handle) -> int:
    """How often the server has said that it is full."""
    assert handle.log_file is not None
    return handle.log_file.read_text().count("too many clients")


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A directory on a file system of its own, with room for some clones."""
    disk = directory / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0777", "tmpfs", str(disk)])
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def connected_ahead(databases: Databases, kind: Kind = Kind.SYNC) -> int:
    """Let the pool know what is wanted, wait until it has it, and return the process id of the server's side."""
    databases.give_back(databases.take(connecting=kind))
    stock = databases._pool._ledger.stock
    while not stock.opened:
        threading.Event().wait(0.005)
    until_ready(databases)
    return stock.opened[0].connection.info.backend_pid


def sessions(admin: Client, clone: Database) -> int:
    """How many sessions a clone has, apart from those that are just leaving."""
    found = 0
    for _ in range(100):
        ((found,),) = admin.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (clone.name,))
        if found == 0:
            break
        admin.execute("SELECT pg_sleep(0.005)")
    return found


def our_connections() -> int:
    """How many connections of pools this process has open now."""
    found = 0
    for one in gc.get_objects():
        if isinstance(one, psycopg.Connection):
            with suppress(psycopg.Error):
                found += not one.closed and one.info.get_parameters().get("application_name") == "pg-ephemeral"
    return found


def take_many(databases: Databases) -> None:
    """More than can be ready."""
    for _ in range(6):
        databases.take()


def until_ready(databases: Databases) -> None:
    """Wait until the pool has nothing to do."""
    while databases.timings.clones < databases.timings.takes + databases.options.ready:
        threading.Event().wait(0.005)
