"""Many runs of one suite with few and many workers of pytest-xdist: what is shared, and what the set-up takes.

    python benchmarks/workers.py [--runs N] [--tests N] [--directory DIRECTORY]

Each run begins without a cache. It has to build the stages once, to give each test a database of its own with the seeds
in it, on one server, and to leave nothing: anything else ends the script. *server* is from when the first worker asks
for the server until the last worker that asked has it, so with the stages; *database* is how long a worker then waits
for its first one, *later* for each that follows. All workers begin at the same time, and on as many processors as they
are less than, they wait for each other's imports as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

WORKERS = (0, 2, 8)

_CONFIG = """
[instances.main.seeds.schema]
type = "script"
script = '''
echo applied >> applied
psql --quiet --no-psqlrc --command "CREATE TABLE note (body text); INSERT INTO note VALUES ('one')"
'''
"""

_CONFTEST = """
import os
import time
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")

def tell(*words):
    with Path("told").open("a") as file:
        file.write(" ".join(map(str, (WORKER, *words))) + "\\n")

@pytest.fixture(scope="session")
def server(request):
    tell("asked", time.time())
    server = request.getfixturevalue("pg_server")
    tell("served", time.time(), server.conninfo.endpoint.port)

@pytest.fixture
def database(server, request):
    began = time.time()
    database = request.getfixturevalue("pg_database")
    tell("took", time.time() - began, database.name)
    return database
"""

_TEST = """
import os

import pytest

@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_it(database, pg_connection, number):
    assert pg_connection.execute("SELECT array_agg(body) FROM note").fetchone() == (["one"],)
    pg_connection.execute("UPDATE note SET body = 'mine'")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Seconds of one run: until all had the server, for each worker's first database, and for the later ones."""

    server: float
    firsts: list[float]
    later: list[float]
    whole: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5, help="for each number of workers")
    arguments.add_argument("--tests", type=int, default=24)
    arguments.add_argument("--directory", type=Path, help="where the data is")
    chosen = arguments.parse_args()
    print(f"{chosen.runs} runs of {chosen.tests} tests for each; medians in ms", flush=True)
    print(f"  {'workers':>10}{'server':>10}{'database':>10}{'later':>10}{'whole run':>12}", flush=True)
    for workers in WORKERS:
        runs = [run(workers, chosen.tests, chosen.directory) for _ in range(chosen.runs)]
        columns = (
            [one.server for one in runs],
            [seconds for one in runs for seconds in one.firsts],
            [seconds for one in runs for seconds in one.later],
            [one.whole for one in runs],
        )
        server, first, later, whole = (1000 * statistics.median(seconds) for seconds in columns)
        print(f"  {workers:>10}{server:10.0f}{first:10.0f}{later:10.0f}{whole:12.0f}", flush=True)


def run(workers: int, tests: int, directory: Path | None) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as name, tempfile.TemporaryDirectory() as sockets:
        project, cache = Path(name) / "project", Path(name) / "cache"
        project.mkdir()
        for place in (Path(name), Path(sockets), project):
            place.chmod(0o711)
        (project / "database.toml").write_text(_CONFIG)
        (project / "conftest.py").write_text(_CONFTEST)
        (project / "test_it.py").write_text(_TEST)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PG"))}
        environment |= {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "PG_EPHEMERAL_CACHE_DIR": str(cache),
            "OCIMAN_BACKEND": "embedded",
            "XDG_RUNTIME_DIR": sockets,
            "BENCH_TESTS": str(tests),
        }
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
        began = time.perf_counter()
        done = subprocess.run(argv, cwd=project, env=environment, check=False, capture_output=True, text=True)
        whole = time.perf_counter() - began
        assert done.returncode == 0, done.stdout + done.stderr
        assert (project / "applied").read_text() == "applied\n", "stages are built once"
        runs = cache / "embedded" / "v1" / "run"
        left = [*Path(sockets).iterdir(), *runs.iterdir()]
        assert not left, f"nothing is left, but {left}"
        return _read((project / "told").read_text(), tests, whole)


def _read(told: str, tests: int, whole: float) -> Run:
    asked, served, ports = [], [], set()
    took: dict[str, list[float]] = {}
    names = []
    for worker, what, number, *more in map(str.split, told.splitlines()):
        match what:
            case "asked":
                asked.append(float(number))
            case "served":
                served.append(float(number))
                ports.add(more[0])
            case _:
                took.setdefault(worker, []).append(float(number))
                names.append(more[0])
    assert len(set(names)) == len(names) == tests, "every test has a database of its own"
    assert len(ports) == 1, "all are on one server"
    return Run(
        server=max(served) - min(asked),
        firsts=[seconds[0] for seconds in took.values()],
        later=[seconds for of_one in took.values() for seconds in of_one[1:]],
        whole=whole,
    )


if __name__ == "__main__":
    main()
