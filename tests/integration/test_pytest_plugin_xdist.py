"""Several workers, one server: what is shared, what is not, and what is left when some of them are killed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.project import eventually
from support.suite import Suite, new_suite


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    with new_suite(tmp_path, tmp_path / "cache") as suite:
        yield suite
        suite.is_left_clean()


_MANY = """
import os
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range({count}))
def test_it(pg_connection, pg_database, pg_server, number):
    assert pg_connection.execute("SELECT count(*) FROM note").fetchone() == (1,)
    pg_connection.execute("DELETE FROM note")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    line = f"{{pg_server.conninfo.endpoint.port}} {{pg_database.name}} {{worker}}\\n"
    with Path("used").open("a") as file:
        file.write(line)
"""


def _used(suite: Suite) -> list[list[str]]:
    return [line.split() for line in (suite.directory / "used").read_text().splitlines()]


@pytest.mark.parametrize("workers", [0, 2, 8])
def test_workers_share_a_server_whose_stages_are_built_once(suite: Suite, workers: int):
    suite.write(test_it=_MANY.format(count=24))
    said = suite.passed("-n", str(workers))
    # The run ends when its server is gone, and not before.
    assert suite.left() == []
    ports, names, ran = zip(*_used(suite), strict=True)
    assert len(set(ports)) == 1
    assert len(set(names)) == len(names) == 24
    assert all(f"_{worker}_" in name for name, worker in zip(names, ran, strict=True) if workers)
    assert suite.applied() == 1
    assert "(1 built)" in said
    assert f"24 databases{f' in {len(set(ran))} workers' if workers else ''}, waited for" in said
    # More workers make no more than what each has ready at the end.
    copies = re.search(r"^copied (\d+) times", said, re.MULTILINE)
    assert copies is not None
    assert 24 <= int(copies[1]) <= 24 + 3 * max(1, workers)


def test_two_runs_at_once_are_two_servers(suite: Suite):
    suite.write(test_it=_MANY.format(count=4))
    runs = [suite.start("-n", "2", "--basetemp", str(suite.directory / f".base{number}")) for number in range(2)]
    for run in runs:
        out, _ = run.communicate(timeout=120)
        assert run.returncode == 0, out
    ports, names, _ = zip(*_used(suite), strict=True)
    assert len(set(ports)) == 2
    assert len(set(names)) == 8
    assert suite.applied() == 1


def test_a_worker_that_leaves_before_the_others_leaves_no_warning(suite: Suite):
    suite.write(
        pytest_ini="[pytest]\nfilterwarnings = error\n",
        test_it="""
import os
import threading
from pathlib import Path

import pytest

worker = os.environ["PYTEST_XDIST_WORKER"]

def until(name):
    while not list(Path.cwd().glob(name)):
        threading.Event().wait(0.005)

@pytest.fixture(scope="session", autouse=True)
def leaving():
    yield
    Path(f"left-{worker}").touch()

def test_first(pg_database):
    until("second")

def test_second(pg_database):
    Path("second").touch()
    until("left-*")
""",
    )
    suite.passed("-n", "2")
    assert suite.left() == []


def test_workers_leave_tests_the_connections_of_a_small_server(suite: Suite):
    parameters = "[instances.main.parameters]\nmax_connections = 14\n"
    suite.write(
        database_toml=parameters + (suite.directory / "database.toml").read_text(),
        test_it=_MANY.format(count=24),
    )
    assert "24 passed" in suite.passed("-n", "6")


def test_workers_that_need_no_database_start_no_server(suite: Suite):
    suite.write(test_it="def test_it():\n    pass\n")
    assert "PostgreSQL" not in suite.passed("-n2")
    assert not suite.cache.exists()


def test_a_worker_that_is_killed_is_replaced_and_leaves_nothing(suite: Suite):
    suite.write(
        test_it="""
import os, signal
import pytest

@pytest.mark.parametrize("number", range(8))
def test_it(pg_connection, number):
    assert pg_connection.execute("SELECT count(*) FROM note").fetchone() == (1,)
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    done = suite.run("-n", "2")
    assert "7 passed" in done.stdout
    assert re.search(r"worker 'gw\d' crashed while running 'test_it.py::test_it\[3\]'", done.stdout)
    assert suite.applied() == 1


#: Tests that say that they run and then wait for good; and a seed that does.
_WAITING = """
import threading
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range(2))
def test_it(pg_database, number):
    Path(f"runs-{number}").touch()
    threading.Event().wait()
"""
_SLOW = """
[instances.main.seeds.schema]
type = "script"
script = "touch runs-0 runs-1; exec sleep 600"
"""


def _runs(suite: Suite, count: int = 2) -> bool:
    return all((suite.directory / f"runs-{number}").exists() for number in range(count))


@pytest.mark.parametrize(
    ("workers", "when", "everybody"),
    [
        ("0", "testing", True),
        ("0", "booting", True),
        ("2", "testing", True),
        ("2", "booting", True),
        ("2", "testing", False),
    ],
    ids=["alone", "alone-booting", "everybody", "everybody-booting", "controller"],
)
def test_a_run_that_is_killed_leaves_nothing(suite: Suite, workers: str, when: str, everybody: bool):
    suite.write(test_it=_WAITING)
    if when == "booting":
        suite.write(database_toml=_SLOW)
    count = 1 if workers == "0" else 2
    with suite.start("-n", workers) as run:
        eventually(lambda: _runs(suite, count), within=60)
        if everybody:
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        run.communicate(timeout=60)
    eventually(lambda: not suite.left(), within=60)


def test_without_its_holder_the_server_is_gone_and_tests_say_so(suite: Suite):
    suite.write(
        test_it="""
import os, signal
import pytest

def test_before(pg_database, _pg_use):
    os.kill(_pg_use.server.member.pid, signal.SIGKILL)
    while _pg_use.server.member.alive:
        pass

def test_after(pg_database):
    pass

def test_connecting(pg_connection):
    pass
"""
    )
    done = suite.run("-n", "1", "-o", "pg_ready=0")
    assert "1 passed, 2 errors" in done.stdout
    assert (
        len(
            re.findall(
                r"^pg-ephemeral: the process \d+, which held the server for this run, is gone",
                done.stdout,
                re.MULTILINE,
            )
        )
        == 2
    )


def test_a_holder_that_is_killed_while_booting_is_reported(suite: Suite):
    suite.write(test_it=_WAITING, database_toml=_SLOW)
    with suite.start("-n", "2") as run:

        def killed() -> bool:
            # Whoever comes later starts another one. One that is killed before it boots leaves more to sweep.
            if _runs(suite):
                for told in suite.directory.glob("runs-*"):
                    told.unlink()
                for pid in suite.holders():
                    os.kill(pid, signal.SIGKILL)
            return run.poll() is not None

        eventually(killed, within=120)
        out, _ = run.communicate(timeout=60)
    assert "pg-ephemeral: the process that holds the server for this run ended before the server was ready" in out


def test_what_a_killed_holder_left_is_swept_by_the_next(suite: Suite):
    suite.write(test_it=_WAITING)
    with suite.start("-n", "2") as run:
        eventually(lambda: _runs(suite), within=60)
        for pid in (*suite.holders(), run.pid):
            os.kill(pid, signal.SIGKILL)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate(timeout=60)
    eventually(lambda: len(suite.left()) <= 1, within=60)
    suite.write(test_it=_MANY.format(count=2))
    suite.passed("-n", "2")
