"""The plugin's fixtures in one process: scopes, isolation, rollback, reading alone, coroutines, errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.suite import Suite, new_suite


@pytest.fixture
def suite(tmp_path: Path, warm_cache: Path) -> Iterator[Suite]:
    with new_suite(tmp_path, warm_cache) as suite:
        yield suite


def test_every_test_has_a_database_of_its_own(suite: Suite):
    suite.write(
        test_it="""
import pytest

names = set()

@pytest.mark.parametrize("number", range(6))
def test_it(pg_database, pg_connection, pg_url, number):
    assert pg_connection.execute("SELECT count(*) FROM note").fetchone() == (1,)
    pg_connection.execute("INSERT INTO note VALUES ('more')")
    assert pg_connection.info.dbname == pg_database.name
    assert pg_url == pg_database.url and pg_database.name in pg_url
    names.add(pg_database.name)

def test_names():
    assert len(names) == 6
"""
    )
    said = suite.passed()
    assert "7 passed" in said
    assert re.search(r"^PostgreSQL \d.*: ready in [\d.]+ s \(1 (built|reused)\)$", said, re.MULTILINE)
    assert "6 databases, waited for" in said


#: Waits until a clone is ready that is connected to, and knows who is.
AHEAD = """
import asyncio
import time

import pytest
from pg_ephemeral.databases import Kind
from pg_ephemeral.pytest_plugin.connections import async_connection, connection

KINDS = {Kind.SYNC: connection, Kind.ASYNC: async_connection}

@pytest.fixture
def ahead(_pg_use, request):
    kind = request.node.get_closest_marker("kind").args[0]
    with _pg_use.lent(request, connecting=kind) as database, KINDS[kind](database):
        pass
    stock = _pg_use._databases._pool._ledger.stock
    while not any(one.kind is kind for one in stock.opened):
        time.sleep(0.005)
    return stock.opened[0].connection.info.backend_pid

def sessions(pg_server, name):
    with pg_server.connect(dbname="postgres") as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        return connection.execute(query, (name,)).fetchone()[0]
"""


@pytest.mark.parametrize("kind", ["SYNC", "ASYNC"])
def test_a_connection_is_made_before_the_test_that_asks_for_it(suite: Suite, kind: str):
    fixture = {"SYNC": "pg_connection", "ASYNC": "pg_async_connection"}[kind]
    suite.write(
        conftest=AHEAD,
        test_it=f"""
import pytest
from pg_ephemeral.databases import Kind

pytestmark = pytest.mark.kind(Kind.{kind})

@pytest.fixture
def mine({fixture}):
    return {fixture}

@pytest.mark.parametrize("number", range(2))
def test_alone(ahead, {fixture}, number):
    assert {fixture}.info.backend_pid == ahead

def test_before_its_database(ahead, {fixture}, pg_database, pg_url):
    assert {fixture}.info.backend_pid == ahead
    assert {fixture}.info.dbname == pg_database.name

def test_after_its_database(ahead, pg_database, {fixture}):
    assert {fixture}.info.backend_pid == ahead

def test_within_another(ahead, mine):
    assert mine.info.backend_pid == ahead
""",
        pytest_ini="[pytest]\nmarkers = kind\n",
    )
    assert "5 passed" in suite.passed()


def test_a_database_that_others_have_first_has_no_session(suite: Suite):
    copying = """
import pytest
from conftest import sessions
from pg_ephemeral.databases import Kind

pytestmark = pytest.mark.kind(Kind.SYNC)

@pytest.fixture
def copy(pg_server, pg_database):
    assert sessions(pg_server, pg_database.name) == 0

"""
    suite.write(
        conftest=AHEAD,
        test_between=f"""{copying}
def test_one(ahead, copy, pg_connection):
    assert pg_connection.info.backend_pid != ahead

def test_two(ahead, pg_database, copy, pg_connection):
    assert pg_connection.info.backend_pid != ahead

@pytest.fixture
def both(copy, pg_connection):
    return pg_connection

def test_three(ahead, both):
    assert both.info.backend_pid != ahead

def test_four(ahead, pg_database, pg_server):
    assert sessions(pg_server, pg_database.name) == 0

def test_five(ahead, request, pg_server):
    pg_database = request.getfixturevalue("pg_database")
    assert sessions(pg_server, pg_database.name) == 0

@pytest.fixture
def asking(request, pg_server):
    assert sessions(pg_server, request.getfixturevalue("pg_database").name) == 0

def test_six(ahead, asking, pg_connection):
    assert pg_connection.info.backend_pid != ahead
""",
        test_overridden=f"""{copying}
@pytest.fixture
def pg_database(pg_server, pg_database):
    assert sessions(pg_server, pg_database.name) == 0
    return pg_database

def test_one(ahead, pg_connection):
    assert pg_connection.info.backend_pid != ahead

def test_two(ahead, pg_database, pg_connection):
    assert pg_connection.info.backend_pid != ahead
""",
        pytest_ini="[pytest]\nmarkers = kind\n",
    )
    assert "8 passed" in suite.passed()


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_wider_scopes_share_a_database_within_them_alone(suite: Suite, scope: str):
    test = f"""
class TestOne:
    def test_one(self, pg_connection_{scope}, pg_database_{scope}, pg_url_{scope}):
        assert pg_url_{scope} == pg_database_{scope}.url
        pg_connection_{scope}.execute("INSERT INTO note VALUES ('more')")

    def test_two(self, pg_connection_{scope}):
        assert pg_connection_{scope}.execute("SELECT count(*) FROM note").fetchone() == (2,)

class TestTwo:
    def test_three(self, pg_connection_{scope}):
        expected = 1 if "{scope}" == "class" else 2
        assert pg_connection_{scope}.execute("SELECT count(*) FROM note").fetchone() == (expected,)
"""
    other = f"""
def test_four(pg_connection_{scope}):
    expected = 2 if "{scope}" == "session" else 1
    assert pg_connection_{scope}.execute("SELECT count(*) FROM note").fetchone() == (expected,)
"""
    suite.write(test_a=test, test_b=other)
    assert "4 passed" in suite.passed()


def test_a_transaction_is_rolled_back_whatever_the_test_does(suite: Suite):
    suite.write(
        test_it="""
import psycopg
import pytest

databases = set()

def count(connection):
    databases.add(connection.info.dbname)
    return connection.execute("SELECT count(*) FROM note").fetchone()[0]

def test_it_writes(pg_transaction):
    assert count(pg_transaction) == 1
    with pg_transaction.transaction():
        pg_transaction.execute("DELETE FROM note")

def test_it_fails(pg_transaction):
    assert count(pg_transaction) == 1
    pg_transaction.execute("DELETE FROM note")
    with pytest.raises(psycopg.Error):
        pg_transaction.execute("SELECT nonsense")

def test_it_commits(pg_transaction):
    assert count(pg_transaction) == 1
    with pytest.raises(psycopg.ProgrammingError):
        pg_transaction.commit()
    pg_transaction.execute("DELETE FROM note")
    pg_transaction.execute("COMMIT")

def test_it_commits_and_begins(pg_transaction):
    assert count(pg_transaction) == 1
    pg_transaction.execute("DELETE FROM note")
    pg_transaction.execute("COMMIT")
    pg_transaction.execute("BEGIN")

def test_it_closes(pg_transaction):
    assert count(pg_transaction) == 1
    pg_transaction.close()

def test_nothing_of_that_is_left(pg_transaction):
    assert count(pg_transaction) == 1
    assert len(databases) == 1
"""
    )
    said = suite.passed()
    assert "6 passed" in said
    assert "1 database, waited for" in said


def test_tests_that_only_read_share_a_clone_and_cannot_write(suite: Suite):
    suite.write(
        test_it="""
import psycopg
import pytest

names = set()

@pytest.mark.parametrize("number", range(3))
def test_it(pg_read_only, number):
    names.add(pg_read_only.name)
    with pg_read_only.connect() as connection:
        assert connection.execute("SELECT body FROM note").fetchall() == [("one",)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM note")

def test_names():
    assert len(names) == 1
"""
    )
    assert "4 passed" in suite.passed()


def test_the_server_is_there_for_programs_too(suite: Suite):
    suite.write(
        test_it="""
import re
import subprocess

def test_it(pg_server):
    assert pg_server.env()["DATABASE_URL"] == pg_server.url
    assert pg_server.connect().execute("SHOW server_version").fetchone()[0].startswith(pg_server.version)
    done = subprocess.run(["psql", "-XAtc", "SELECT body FROM note"], env=pg_server.environment(), capture_output=True)
    assert done.stdout == b"one\\n"
    assert pg_server.log_file.exists()
"""
    )
    assert "1 passed" in suite.passed()


_COROUTINE = """
import pytest

{mark}
async def test_it(pg_async_connection, pg_database):
    await pg_async_connection.execute("INSERT INTO note VALUES ('two')")
    cursor = await pg_async_connection.execute("SELECT count(*) FROM note")
    assert await cursor.fetchone() == (2,)
    assert pg_async_connection.info.dbname == pg_database.name

{mark}
async def test_again(pg_async_connection):
    cursor = await pg_async_connection.execute("SELECT count(*) FROM note")
    assert await cursor.fetchone() == (1,)
"""


@pytest.mark.parametrize(
    ("plugin", "mark", "ini"),
    [
        ("asyncio", "@pytest.mark.asyncio", "asyncio_default_fixture_loop_scope = function"),
        ("asyncio", "", "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function"),
        ("anyio", "@pytest.mark.anyio", ""),
    ],
    ids=["asyncio-strict", "asyncio-auto", "anyio"],
)
def test_an_asynchronous_connection_is_for_whatever_runs_the_test(suite: Suite, plugin: str, mark: str, ini: str):
    suite.write(
        pytest_ini=f"[pytest]\n{ini}\n",
        conftest="import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n",
        test_it=_COROUTINE.format(mark=mark),
    )
    assert "2 passed" in suite.passed(plugins=(plugin,))


def test_an_asynchronous_connection_needs_no_plugin(suite: Suite):
    suite.write(
        test_it="""
import asyncio

def test_it(pg_async_connection):
    async def count():
        cursor = await pg_async_connection.execute("SELECT count(*) FROM note")
        return await cursor.fetchone()

    assert asyncio.run(count()) == (1,)
"""
    )
    assert "1 passed" in suite.passed()


def test_no_variable_of_libpq_has_a_say_in_connections(suite: Suite, monkeypatch: pytest.MonkeyPatch):
    for name, value in (("PGSERVICE", "nowhere"), ("PGDATESTYLE", "German"), ("PGTZ", "Asia/Tokyo"), ("PGPORT", "1")):
        monkeypatch.setenv(name, value)
    suite.write(
        conftest='pytest_plugins = ["pg_ephemeral.pytest_plugin.postgresql"]\n',
        test_it="""
import asyncio

import pytest

QUERY = "SELECT current_setting('datestyle'), current_setting('timezone')"

@pytest.fixture
def expected(pg_connection):
    found = pg_connection.execute(QUERY).fetchone()
    assert found[0] == "ISO, MDY" and found[1] != "Asia/Tokyo"
    return found

def test_sync(postgresql, expected):
    assert postgresql.execute(QUERY).fetchone() == expected

@pytest.mark.parametrize("fixture", ["pg_async_connection", "postgresql_async"])
def test_async(request, fixture, expected):
    async def found():
        return await (await request.getfixturevalue(fixture).execute(QUERY)).fetchone()

    assert asyncio.run(found()) == expected
""",
    )
    assert "3 passed" in suite.passed()


def test_an_asynchronous_connection_that_cannot_be_made_is_said_in_a_line(suite: Suite):
    suite.write(
        test_it="""
import pytest

@pytest.fixture
def gone(pg_database):
    with pg_database.connect(dbname="postgres") as connection:
        connection.execute(f"DROP DATABASE {pg_database.name}")

def test_it(gone, pg_async_connection):
    pass
"""
    )
    said = suite.run().stdout
    assert "\npg-ephemeral: connection failed: " in said
    assert "Traceback" not in said


def test_without_anything_to_run_a_coroutine_pytest_says_so(suite: Suite):
    suite.write(test_it=_COROUTINE.format(mark=""))
    done = suite.run()
    assert done.returncode == 1
    assert "pg_async_connection is made, but nothing runs the test" in done.stdout
    assert "pip install pytest-asyncio" in done.stdout


def test_a_definition_can_be_built_in_python(suite: Suite):
    suite.write(
        conftest="""
import pytest
from pg_ephemeral import Definition

@pytest.fixture(scope="session")
def pg_definition():
    return Definition().with_backend("embedded").apply_sql_statement("schema", "CREATE TABLE own (x int)")
""",
        test_it="""
def test_it(pg_connection):
    assert pg_connection.execute("SELECT count(*) FROM own").fetchone() == (0,)
""",
    )
    assert "1 passed" in suite.passed()
    assert "1 passed" in suite.passed("-n2", "-p", "xdist")


_USES = "def test_one(pg_database):\n    pass\n\ndef test_two(pg_connection):\n    pass\n"


@pytest.mark.parametrize(
    ("arguments", "ini", "said"),
    [
        (("--pg-config", "elsewhere.toml"), "", "elsewhere.toml"),
        ((), "pg_config = elsewhere.toml", "elsewhere.toml"),
        (("--pg-instance", "mian"), "", "there is no instance 'mian' (instances: main)"),
        ((), "pg_instance = other", "there is no instance 'other'"),
        (("--pg-backend", "vmware"), "", "backend 'vmware' is not one of: auto, docker, podman, embedded"),
        ((), "pg_ready = many", "pg_ready is not a number of at least 0: "),
        ((), "pg_keep = -1", "pg_keep = -1 is not a number of at least 0"),
        ((), "pg_connections = -1", "pg_connections = -1 is not a number of at least 0"),
        ((), "pg_disk = 1.5", "pg_disk is not a number of at least 0: "),
        ((), "pg_keep_minutes = nan", "pg_keep_minutes = nan is not a number of at least 0"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(suite: Suite, arguments: tuple[str, ...], ini: str, said: str):
    suite.write(pytest_ini=f"[pytest]\n{ini}\n", test_it=_USES)
    done = suite.run(*arguments)
    assert done.returncode == 1
    assert "2 errors" in done.stdout
    assert done.stdout.count("\npg-ephemeral: ") == 2
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert ".py:" not in done.stdout.replace("test_it.py::", "")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_boot_that_fails_fails_every_test_with_the_same_words(suite: Suite, workers: str):
    suite.write(
        database_toml='[instances.main.seeds.schema]\ntype = "sql-statement"\nstatement = "CREATE TABEL x ()"\n',
        test_it=_USES,
    )
    done = suite.run("-n", workers)
    assert "2 errors" in done.stdout
    assert done.stdout.count("pg-ephemeral: seed 'schema': statement:1: ERROR: syntax error at or near \"TABEL\"") == 2
    assert "Traceback" not in done.stdout
    assert "During handling" not in done.stdout


def test_options_of_the_file_are_relative_to_it_and_those_of_the_command_line_win(suite: Suite):
    below = suite.directory / "below"
    below.mkdir()
    (suite.directory / "database.toml").rename(below / "other.toml")
    suite.write(
        pytest_ini="[pytest]\npg_config = below/other.toml\npg_instance = wrong\n",
        test_it="def test_it(pg_connection):\n    pg_connection.execute('SELECT * FROM note')\n",
    )
    assert "1 passed" in suite.passed("--pg-instance", "main", "--pg-backend", "embedded")


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="only strings before")
@pytest.mark.parametrize("minutes", ["5", "5.5"])
def test_numbers_may_be_written_as_numbers(suite: Suite, minutes: str):
    (suite.directory / "pytest.ini").unlink()
    suite.write(
        pyproject_toml=f"[tool.pytest]\npg_ready = 1\npg_connections = 2\npg_disk = 100\npg_keep_minutes = {minutes}\n",
        test_it=f"""
def test_it(pg_database, _pg_use):
    options = _pg_use._options
    assert (options.ready, options.minutes) == (1, {minutes})
    pool = _pg_use._pool
    assert (pool.connections, pool.disk) == (2, 100_000_000)
""",
    )
    suite.passed()
    suite.write(pyproject_toml="[tool.pytest]\npg_ready = -1\n")
    assert "pg_ready = -1 is not a number of at least 0" in suite.run().stdout


@pytest.mark.parametrize("workers", ["0", "1"])
def test_every_server_of_a_run_is_reported(suite: Suite, workers: str):
    suite.write(
        conftest="""
import pytest
from pg_ephemeral import Definition

@pytest.fixture(scope="session", params=["a", "b"])
def pg_definition(request):
    statement = f"CREATE TABLE {request.param} (x int)"
    return Definition().with_backend("embedded").apply_sql_statement(f"schema-{request.param}", statement)
""",
        test_it="def test_one(pg_database):\n    pass\n\ndef test_two(pg_database):\n    pass\n",
    )
    said = suite.passed("-n", workers).partition("= PostgreSQL =")[2]
    assert len(re.findall(r"^PostgreSQL \d\S*: ready in ", said, re.MULTILINE)) == 2
    assert len(re.findall(r"^2 databases, waited for ", said, re.MULTILINE)) == 2
    assert len(re.findall(r"^copied [2-4] times, .* each with \w+; the template took ", said, re.MULTILINE)) == 2


def test_what_was_built_is_in_the_summary(suite: Suite, tmp_path: Path):
    suite.cache = tmp_path / "cache"
    suite.write(test_it="def test_it(pg_database):\n    pass\n")
    assert re.search(r"^built: schema \S+ m?s$", suite.passed(), re.MULTILINE)
    assert "\nbuilt: " not in suite.passed()


def test_a_suite_that_does_not_use_it_does_not_pay_for_it(suite: Suite):
    suite.write(
        test_it="""
import sys

def test_it(request):
    assert request.config.pluginmanager.hasplugin("pg_ephemeral")
    ours = {name for name in sys.modules if name.startswith("pg_ephemeral")}
    assert ours == {
        "pg_ephemeral",
        "pg_ephemeral.pytest_plugin",
        "pg_ephemeral.pytest_plugin.fixtures",
        "pg_ephemeral.version",
    }
    assert not {"psycopg", "msgspec", "click", "platformdirs", "urllib3"} & set(sys.modules)
"""
    )
    said = suite.passed("-p", "no:platformdirs")
    assert "PostgreSQL" not in said


def test_it_can_be_switched_off(suite: Suite):
    suite.write(test_it="def test_it(pg_database):\n    pass\n")
    done = suite.run("-p", "no:pg_ephemeral")
    assert "fixture 'pg_database' not found" in done.stdout


def test_the_fixtures_of_pytest_postgresql_are_there_on_request_alone(suite: Suite):
    test = "def test_it(postgresql):\n    assert postgresql.execute('SELECT count(*) FROM note').fetchone() == (1,)\n"
    suite.write(test_it=test)
    assert "fixture 'postgresql' not found" in suite.run().stdout
    suite.write(
        conftest='pytest_plugins = ["pg_ephemeral.pytest_plugin.postgresql"]\n',
        test_there="""
import psycopg

def test_the_socket_is_where_it_says(postgresql_proc):
    one = postgresql_proc
    with psycopg.connect(
        host=one.unixsocketdir, port=one.port, user=one.user, password=one.password, dbname=one.dbname
    ) as connection:
        assert connection.execute("SELECT inet_client_addr()").fetchone() == (None,)
""",
    )
    assert "2 passed" in suite.passed()


def test_its_fixtures_are_listed_with_what_they_are_for(suite: Suite):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures"],
        cwd=suite.directory,
        capture_output=True,
        text=True,
        env=suite.environment(),
    )
    shown = done.stdout.partition("fixtures defined from pg_ephemeral")[2].partition("fixtures defined from")[0]
    for name in ("pg_database", "pg_url", "pg_connection", "pg_async_connection", "pg_transaction", "pg_read_only"):
        assert f"\n{name} " in shown
    assert "no docstring available" not in shown


def test_who_waits_at_a_terminal_sees_what_is_built(suite: Suite, tmp_path: Path):
    suite.cache = tmp_path / "cache"
    suite.write(test_it="def test_it(pg_database):\n    print('captured')\n")
    main, side = os.openpty()
    with suite.start(stdout=side) as run:
        os.close(side)
        shown = b""
        with suppress(OSError):
            while chunk := os.read(main, 4096):
                shown += chunk
        run.wait()
    os.close(main)
    text = shown.decode()
    assert run.returncode == 0, text
    assert "pg-ephemeral: making an empty cluster, PostgreSQL " in text
    assert "pg-ephemeral: [1/1] schema (script) …" in text
    assert "pg-ephemeral: " not in suite.passed()
