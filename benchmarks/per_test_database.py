"""How long a test waits for a database of its own, beside what others do on the same machine.

    python benchmarks/per_test_database.py [--tests N] [--tables N …] [--lengths SECONDS …]
                                           [--peer PYTHON] [--directory DIRECTORY]

* **pool**: ``Databases`` as it comes: clones are made in the background.
* **no pool**: ``Databases`` with ``ready=0``: a clone is made when it is asked for.
* **plain**: ``CREATE DATABASE … TEMPLATE`` from a sealed template with the fastest strategy, and ``DROP DATABASE``.
* **pytest-postgresql**: its ``postgresql`` fixture, server and all, as its manual shows it. PYTHON is an interpreter
  that has it (``python -m venv peer && peer/bin/pip install pytest-postgresql 'psycopg[binary]'``); without one this
  line is left out.

Two that wait for a copy, no pool and plain, have their tests in turns, for a machine that others use is not the same a
minute later. A wait ends when the test is connected; ``handed`` is how long the median test waited for the database
alone. ``all`` is
set-up and teardown: the time that is not the test's own, from the first wait to the end of the clearing away. Ours ends
with the server, which removes what is left, and ``end`` is this part of it; of pytest-postgresql starting and stopping
the server are left out. Creating and deleting files depends on what was deleted before, on some disks for minutes: on
those give ``--directory`` in memory, or take the figures for what they are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from pg_ephemeral import Definition, Server, boot
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.databases import Databases, Kind, Options
from pg_ephemeral.postgres import account, binaries, client, clones

TABLES = (5, 150)
LENGTHS = (0.05, 0.0)

#: How many tests of one way before it is another one's turn.
_TURN = 10

_POOL = Options()

#: Connects to the database that was taken.
Connect: TypeAlias = Callable[[], psycopg.Connection[Any]]
#: Takes a database for one test.
Take: TypeAlias = Callable[[], AbstractContextManager[Connect]]
#: A way to have databases, on a server of its own.
Way: TypeAlias = Callable[[Server], AbstractContextManager[Take]]

_PEER = """
import json, os, pathlib
import pytest
from pytest_postgresql import factories

schema = pathlib.Path(os.environ["BENCH_SCHEMA"])
bench_proc = factories.postgresql_proc(executable=os.environ["BENCH_PG_CTL"], load=[schema])
bench_db = factories.postgresql("bench_proc")
phases = []

def pytest_runtest_logreport(report):
    phases.append((report.when, report.duration))

@pytest.fixture(scope="session", autouse=True)
def server(bench_proc):
    yield

def pytest_sessionfinish():
    with open(os.environ["BENCH_RESULT"], "w") as file:
        json.dump(phases, file)
"""

_PEER_TEST = """
import os, time
import pytest

def test_start(server):
    pass

@pytest.mark.parametrize("n", range(int(os.environ["BENCH_TESTS"])))
def test_one(bench_db, n):
    time.sleep(float(os.environ["BENCH_LENGTH"]))

def test_stop(server):
    pass
"""


_TABLE = """
CREATE TABLE {name} (id serial PRIMARY KEY, name text NOT NULL, number int, at timestamptz DEFAULT now());
CREATE INDEX ON {name} (name);
INSERT INTO {name} (name, number) SELECT 'name ' || i, i FROM generate_series(1, 20) AS i;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Seconds: how long each test waited until it was connected, how long for the database, and all that was lost.

    ``end`` is what of that came after the last test.
    """

    waits: list[float]
    handed: list[float]
    total: float
    end: float | None = None

    def row(self, what: str) -> str:
        ordered = sorted(self.waits)
        columns = [
            statistics.median(self.handed) if self.handed else None,
            statistics.median(ordered),
            ordered[int(len(ordered) * 0.95)],
            ordered[-1],
            self.total / len(ordered),
            None if self.end is None else self.end / len(ordered),
        ]
        return f"  {what:20}" + "".join(f"{'-':>12}" if one is None else f"{one * 1000:12.1f}" for one in columns)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tests", type=int, default=200)
    arguments.add_argument("--tables", type=int, nargs="+", default=TABLES)
    arguments.add_argument("--lengths", type=float, nargs="+", default=LENGTHS, help="of a test, in seconds")
    arguments.add_argument("--peer", type=Path)
    arguments.add_argument("--directory", type=Path, help="where everybody's data is")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.directory) as name:
        scratch = Path(name)
        os.environ["PG_EPHEMERAL_CACHE_DIR"] = str(scratch / "cache")
        for tables in chosen.tables:
            for length in chosen.lengths:
                print(f"{tables} tables, {chosen.tests} tests of {length * 1000:.0f} ms; times in ms", flush=True)
                heads = ("handed", "wait p50", "p95", "max", "all / test", "end / test")
                print(" " * 22 + "".join(f"{head:>12}" for head in heads), flush=True)
                compare(scratch, tables, length, chosen.tests, chosen.peer)


def compare(scratch: Path, tables: int, length: float, tests: int, peer: Path | None) -> None:
    results = in_turns(tables, length, tests, {"pool": pool})
    results |= in_turns(tables, length, tests, {"no pool": no_pool, "plain": plain})
    for name, result in results.items():
        print(result.row(name), flush=True)
    beside = statistics.median(results["no pool"].waits) / statistics.median(results["plain"].waits)
    print(f"  a wait without the pool is {beside:.2f}x of plain", flush=True)
    if peer is None:
        print("  pytest-postgresql: not compared; see --help")
        return
    theirs = pytest_postgresql(scratch, peer, tables, length, tests)
    print(theirs.row("pytest-postgresql"), flush=True)
    print(f"  the pool is {theirs.total / results['pool'].total:.1f}x better in all", flush=True)


def in_turns(tables: int, length: float, tests: int, ways: Mapping[str, Way]) -> dict[str, Result]:
    """Each way has a server of its own, and ``_TURN`` tests before it is the next one's turn."""
    results = {}
    with ExitStack() as stack:
        lent = {}
        for name, way in ways.items():
            ending = stack.enter_context(ExitStack())
            server = ending.enter_context(booted(tables))
            lent[name] = (ending, ending.enter_context(way(server)), Result(waits=[], handed=[], total=0.0))
        for number in range(tests):
            if number % _TURN:
                continue
            for name, (ending, take, so_far) in lent.items():
                lent[name] = (ending, take, run(take, so_far, length, min(_TURN, tests - number)))
        for name, (ending, _, result) in lent.items():
            began = time.perf_counter()
            ending.close()
            end = time.perf_counter() - began
            results[name] = replace(result, total=result.total + end, end=end)
    return results


def run(take: Take, result: Result, length: float, tests: int) -> Result:
    """So many tests more."""
    waits, handed = [*result.waits], [*result.handed]
    began = time.perf_counter()
    for _ in range(tests):
        asked = time.perf_counter()
        with take() as connect:
            handed.append(time.perf_counter() - asked)
            connection = connect()
            waits.append(time.perf_counter() - asked)
            time.sleep(length)
            connection.close()
    total = result.total + time.perf_counter() - began - tests * length
    return replace(result, waits=waits, handed=handed, total=total)


@contextmanager
def booted(tables: int) -> Iterator[Server]:
    definition = Definition().apply_sql_statement("schema", schema(tables))
    with boot(definition, backend=EmbeddedBackend(definition.image)) as server:
        yield server


def schema(tables: int) -> str:
    return "".join(_TABLE.format(name=f"t{number}") for number in range(tables))


@contextmanager
def pool(server: Server, options: Options = _POOL) -> Iterator[Take]:
    with Databases(server.control, server.conninfo, options) as databases:

        @contextmanager
        def take() -> Iterator[Connect]:
            with databases.database(connecting=Kind.SYNC) as database:
                yield database.connect

        yield take
        # The server goes next, and with it what is left.
        databases.close(drop=False)


def no_pool(server: Server) -> AbstractContextManager[Take]:
    return pool(server, Options(ready=0))


@contextmanager
def plain(server: Server) -> Iterator[Take]:
    with client.connect(replace(server.control, database="template1")) as admin:
        admin.execute(f"CREATE DATABASE plain TEMPLATE {server.conninfo.database}")
        clones.seal(admin, "plain")
        origin = clones.source(admin, "plain")
        assert origin is not None
        took: dict[clones.Strategy, float] = {}
        for strategy in clones.strategies(admin) * 2:
            asked = time.perf_counter()
            clones.create(admin, f"try_{len(took)}_{strategy}_{asked}", origin, strategy)
            took[strategy] = min(took.get(strategy, 1e9), time.perf_counter() - asked)
        fastest = min(took, key=lambda strategy: took[strategy])
        numbers = itertools.count()

        @contextmanager
        def take() -> Iterator[Connect]:
            name = f"plain_{next(numbers)}"
            clones.create(admin, name, origin, fastest)
            yield lambda: client.connect_raw(replace(server.conninfo, database=name), autocommit=True)
            clones.drop(admin, name)

        yield take


def pytest_postgresql(scratch: Path, python: Path, tables: int, length: float, tests: int) -> Result:
    directory = Path(tempfile.mkdtemp(prefix="peer-", dir=scratch))
    (directory / "conftest.py").write_text(_PEER)
    (directory / "test_one.py").write_text(_PEER_TEST)
    (directory / "schema.sql").write_text(schema(tables))
    environment = {
        **os.environ,
        "BENCH_PG_CTL": str(next(iter(binaries.installations())).program("pg_ctl")),
        "BENCH_SCHEMA": str(directory / "schema.sql"),
        "BENCH_RESULT": str(directory / "result.json"),
        "BENCH_TESTS": str(tests),
        "BENCH_LENGTH": str(length),
    }
    argv = [*account.choose().prefix, str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    argv += ["--basetemp", str(directory / "tmp"), str(directory)]
    done = subprocess.run(argv, cwd=directory, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # The first and the last test start and stop the server.
    phases = json.loads((directory / "result.json").read_text())[3:-3]
    waits = [seconds for when, seconds in phases if when == "setup"]
    assert len(waits) == tests
    return Result(waits=waits, handed=[], total=sum(seconds for when, seconds in phases if when != "call"))


if __name__ == "__main__":
    main()
