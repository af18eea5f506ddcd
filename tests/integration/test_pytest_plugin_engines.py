"""Databases for tests on servers in containers: clones, the plugin with its workers, and what it says of a failure."""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pg_ephemeral import Definition, boot
from pg_ephemeral.databases import Databases, Options
from support import engines, machine
from support.suite import Suite, new_suite

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]


@dataclass(kw_only=True)
class Instance:
    """An instance of a name of its own on an engine."""

    engine: str
    name: str

    def running(self) -> list[str]:
        """The containers of its stages."""
        listed = engines.call(self.engine, "ps", "--all", "--format", "{{.Image}} {{.Names}}").splitlines()
        return [line for line in listed if self.name in line]


@pytest.fixture(scope="module", params=ENGINES)
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """Its stages are built by the first test that uses it, and gone after the last."""
    instance = Instance(engine=request.param, name=f"t-{secrets.token_hex(4)}")
    yield instance
    assert instance.running() == []
    engines.remove_images(instance.engine, instance.name)


@pytest.fixture
def suite(instance: Instance, tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    monkeypatch.setenv("OCIMAN_BACKEND", instance.engine)
    with new_suite(tmp_path, warm_cache) as suite:
        suite.write(
            database_toml=f"""
[instances.{instance.name}]
image = "{machine.IMAGE}"
wait_available_timeout = "60s"

[instances.{instance.name}.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE note (body text); INSERT INTO note VALUES ('one') -- {instance.name}"
""",
            pytest_ini=f"[pytest]\npg_instance = {instance.name}\n",
        )
        yield suite
        assert instance.running() == []


def test_a_database_is_cloned_reset_and_shared(instance: Instance, warm_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    definition = (
        Definition()
        .with_backend(instance.engine)
        .with_image(machine.IMAGE)
        .with_instance(instance.name)
        .with_wait_available_timeout(60)
        .apply_sql_statement("items", f"CREATE TABLE items AS SELECT generate_series(1, 100) AS id -- {instance.name}")
    )
    with boot(definition) as server, Databases(server.control, server.conninfo, Options(ready=1)) as databases:
        with databases.database() as one, databases.database() as other:
            with one.connect() as connection:
                connection.execute("DELETE FROM items")
            one.reset()
            for database in (one, other, databases.shared()):
                with database.connect() as connection:
                    assert connection.execute("SELECT count(*) FROM items").fetchone() == (100,)
        databases.close()
        with server.connect() as connection:
            assert connection.execute("SELECT count(*) FROM pg_database WHERE datname ~ '^test_'").fetchone() == (0,)


def test_workers_share_a_server_in_a_container(suite: Suite):
    suite.write(
        test_it="""
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(pg_connection, pg_database, pg_server, number):
    assert pg_connection.execute("SELECT count(*) FROM note").fetchone() == (1,)
    pg_connection.execute("DELETE FROM note")
    with Path("used").open("a") as file:
        file.write(f"{pg_server.conninfo.endpoint.port} {pg_database.name}\\n")
"""
    )
    said = suite.passed("-n", "2")
    assert "6 databases in 2 workers, waited for" in said
    ports, names = zip(*(line.split() for line in (suite.directory / "used").read_text().splitlines()), strict=True)
    assert len(set(ports)) == 1
    assert len(set(names)) == 6


def test_what_the_server_said_of_a_failed_test_is_shown_and_its_database_can_be_opened(suite: Suite):
    suite.write(
        test_it="""
def test_it(pg_connection):
    pg_connection.execute("INSERT INTO note VALUES ('of the failed test')")
    for number in range(50):
        pg_connection.execute(f"DO $$ BEGIN RAISE LOG 'before %', {number}; END $$")
    pg_connection.execute('SELECT "at the very end"')
"""
    )
    said = suite.run("--pg-keep").stdout
    try:
        report, _, log = said.partition("- PostgreSQL -")[2].partition("- PostgreSQL log -")
        assert 'ERROR:  column "at the very end" does not exist' in log
        assert "LOG:  before 49" in log
        assert "pg-ephemeral mark" not in said
        command = re.findall(r"^  (.*attach .*)$", report, re.MULTILINE)[0]
        url = _attach(suite, command, "--url").stdout.strip()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM note").fetchone() == (2,)
        # The programs of the image are of no use here: those of the host are, or the URL.
        done = _attach(suite, command, PATH="/nowhere")
        assert done.returncode == 71
        assert (
            done.stderr
            == "error: there is no psql on this host\nhint: --url prints the connection URL for other programs\n"
        )
    finally:
        suite.end_holders()


def _attach(suite: Suite, command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**suite.environment(), **variables}
    return subprocess.run([*shlex.split(command), *arguments], env=environment, capture_output=True, text=True)
