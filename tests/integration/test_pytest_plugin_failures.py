"""What is said of a test that failed, and what is kept of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support.project import eventually
from support.suite import Suite, new_suite


@pytest.fixture
def suite(tmp_path: Path, warm_cache: Path) -> Iterator[Suite]:
    with new_suite(tmp_path, warm_cache) as suite:
        yield suite


_FAILING = """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_passing(pg_connection, number):
    with pytest.raises(Exception):
        pg_connection.execute("SELECT 'of a test that passes'::int")

def test_failing(pg_connection):
    pg_connection.execute("INSERT INTO note VALUES ('from the failed test')")
    pg_connection.execute('SELECT "of the failed test"')
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_failure_comes_with_its_database_and_its_part_of_the_log(suite: Suite, workers: str):
    suite.write(test_it=_FAILING)
    done = suite.run("-n", workers)
    report = done.stdout.partition("- PostgreSQL -")[2].partition("===")[0]
    assert re.search(r"^pg_database: test_\w+$", report, re.MULTILINE)
    assert "\nto look into it afterwards: pytest --pg-keep test_it.py::test_failing\n" in report
    log = report.partition("- PostgreSQL log -")[2]
    assert 'ERROR:  column "of the failed test" does not exist' in log
    assert 'STATEMENT:  SELECT "of the failed test"' in log
    assert "of a test that passes" not in done.stdout
    assert done.stdout.count("- PostgreSQL -") == 1


def test_lines_of_the_log_are_shown_as_they_are_when_the_definition_says_how_they_begin(suite: Suite):
    text = (suite.directory / "database.toml").read_text()
    parameters = '[instances.main.parameters]\nlog_line_prefix = "mine: "\n'
    suite.write(test_it=_FAILING, database_toml=parameters + text)
    assert 'mine: ERROR:  column "of the failed test" does not exist' in suite.run().stdout


def test_a_log_that_is_long_is_cut(suite: Suite):
    suite.write(
        test_it="""
def test_it(pg_connection):
    for number in range(100):
        try:
            pg_connection.execute(f"SELECT n{number}")
        except Exception:
            pass
    raise AssertionError
"""
    )
    said = suite.run().stdout
    assert "... 160 lines before" in said
    assert 'column "n99" does not exist' in said
    assert 'column "n79" does not exist' not in said


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_kept_database_can_be_looked_into_after_the_run(suite: Suite, workers: str):
    suite.write(test_it=_FAILING)
    done = suite.run("-n", workers, "--pg-keep")
    holder = re.search(r"^kept for 30 minutes, or until kill (\d+):$", done.stdout, re.MULTILINE)
    assert holder is not None, done.stdout
    assert "which is kept" in done.stdout
    assert "to look into it afterwards" not in done.stdout
    command = done.stdout.partition("test_it.py::test_failing (pg_database)\n")[2].splitlines()[0]
    # It is with the test as well.
    assert f"\n  {command.strip()}\n" in done.stdout.partition("- PostgreSQL -")[2].partition("- PostgreSQL log -")[0]
    url = _attached(suite, command, "--url").strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (2,)
        password = connection.info.password
        [(count,)] = connection.execute("SELECT count(*) FROM pg_database WHERE datname ~ '^test_'").fetchall()
        assert count == 1
    # A run's output goes to places where many can read it.
    assert password
    assert password not in done.stdout
    psql = subprocess.run(
        shlex.split(command),
        cwd=suite.directory,
        env=suite.environment(),
        input="SELECT body FROM note;\n",
        capture_output=True,
        text=True,
    )
    assert "from the failed test" in psql.stdout

    os.kill(int(holder[1]), signal.SIGTERM)
    eventually(lambda: not suite.holders() and not list(suite.runtime.iterdir()))
    gone = subprocess.run(shlex.split(command), env=suite.environment(), capture_output=True, text=True)
    assert gone.returncode == 71
    assert gone.stderr == "error: the server is not kept any more\nhint: run the test again with --pg-keep\n"


def _attached(suite: Suite, command: str, *arguments: str) -> str:
    done = subprocess.run([*shlex.split(command), *arguments], env=suite.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_no_more_databases_are_kept_than_asked_for(suite: Suite, workers: str):
    suite.write(
        test_it="""
import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(pg_database, number):
    raise AssertionError
"""
    )
    done = suite.run("-n", workers, "--pg-keep", "-o", "pg_keep=2")
    assert done.stdout.count(", which is kept") == 2
    # With the test, and in the summary.
    assert done.stdout.count("pytest_plugin.attach") == 4
    suite.end_holders()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_nothing_is_kept_when_nothing_fails(suite: Suite, workers: str):
    suite.write(test_it="def test_it(pg_database):\n    pass\n")
    assert "kept for" not in suite.passed("-n", workers, "--pg-keep")
    assert suite.holders() == []


def test_what_is_kept_goes_in_time(suite: Suite):
    suite.write(test_it="def test_it(pg_database):\n    raise AssertionError\n")
    assert "kept for 0.001 minutes" in suite.run("--pg-keep", "-o", "pg_keep_minutes=0.001").stdout
    eventually(lambda: not suite.holders() and not list(suite.runtime.iterdir()))


def test_a_database_of_a_class_is_kept_when_one_of_its_tests_fails(suite: Suite):
    suite.write(
        test_it="""
class TestIt:
    def test_passing(self, pg_connection_class):
        pg_connection_class.execute("INSERT INTO note VALUES ('first')")

    def test_failing(self, pg_database_class):
        raise AssertionError

    def test_passing_again(self, pg_database_class):
        pass
"""
    )
    done = suite.run("--pg-keep")
    assert "1 failed, 2 passed" in done.stdout
    command = done.stdout.partition("TestIt::test_failing (pg_database_class)\n")[2].splitlines()[0]
    with psycopg.connect(_attached(suite, command, "--url").strip()) as connection:
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (2,)
    suite.end_holders()


def test_a_set_up_that_fails_is_reported_likewise(suite: Suite):
    suite.write(
        test_it="""
import pytest

@pytest.fixture
def broken(pg_connection):
    pg_connection.execute("SELECT of_the_fixture")

def test_it(broken):
    pass
"""
    )
    said = suite.run().stdout
    assert "pg_database: test_" in said
    assert 'ERROR:  column "of_the_fixture" does not exist' in said


@pytest.mark.parametrize("fixture", ["pg_transaction", "pg_read_only", "pg_server"])
def test_where_nothing_stays_the_log_is_shown_alone(suite: Suite, fixture: str):
    suite.write(
        test_it=f"""
def test_it({fixture}):
    connection = {fixture} if "{fixture}" == "pg_transaction" else {fixture}.connect()
    connection.execute("SELECT of_this_test")
"""
    )
    said = suite.run("--pg-keep").stdout
    assert "- PostgreSQL -" not in said
    assert 'ERROR:  column "of_this_test" does not exist' in said.partition("- PostgreSQL log -")[2]
    assert suite.holders() == []


@pytest.mark.parametrize("arguments", [(), ("--tb=long", "--showlocals")])
def test_a_report_does_not_show_the_password(suite: Suite, arguments: tuple[str, ...]):
    suite.write(
        test_it="""
from pathlib import Path

import pytest

def helper(url):
    raise ValueError

class TestIt:
    def test_url(self, pg_url, pg_database):
        Path("password").write_text(pg_database.conninfo.password)
        raise ValueError

    def test_url_class(self, pg_url_class):
        assert pg_url_class is None

    def test_helper(self, pg_url):
        helper(pg_url)

    def test_server(self, pg_server):
        helper([pg_server.url, pg_server])

    def test_connecting(self, pg_database):
        pg_database.connect(dbname="nowhere")
"""
    )
    said = suite.run(*arguments).stdout
    assert "5 failed" in said
    assert "pg_url = 'postgres://postgres:***@127.0.0.1:" in said
    assert (suite.directory / "password").read_text() not in said


def test_a_test_without_a_database_is_left_alone(suite: Suite):
    suite.write(test_it="def test_one(pg_database):\n    pass\n\ndef test_two():\n    raise AssertionError\n")
    assert "- PostgreSQL" not in suite.run().stdout.replace("= PostgreSQL =", "")
