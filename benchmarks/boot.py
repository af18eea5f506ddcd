"""How long a warm boot takes, beside the least that PostgreSQL itself could take on this machine.

    python benchmarks/boot.py [--rounds N]

* **bare**: ``postgres`` started on a data directory that is already copied, until its first query is answered.
* **boot**: ``pg_ephemeral.boot()`` of the same content, all stages cached, in this process, until its first query.
* **command lines**: ``pg-ephemeral --help``, and ``pg-ephemeral host run-env true`` with everything cached.

The two are run in turn, round by round, and compared as a ratio: absolute times belong to the machine of the day.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import open_cache
from pg_ephemeral.definition import Definition
from pg_ephemeral.lifecycle import boot
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres import account, binaries, parameters
from pg_ephemeral.postgres.datadir import clone

SEEDS = (
    ("schema", "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, since date)"),
    (
        "rows",
        "INSERT INTO customers SELECT n, 'customer ' || n, date '2020-01-01' FROM generate_series(1, 20000) n",
    ),
    ("index", "CREATE INDEX ON customers (since)"),
)
QUERY = "SELECT count(*) FROM customers"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = Path(scratch)
        os.environ["PG_EPHEMERAL_CACHE_DIR"] = str(directory / "cache")
        definition = Definition(directory=directory).with_backend("embedded")
        for name, statement in SEEDS:
            definition = definition.apply_sql_statement(name, statement)
        backend = EmbeddedBackend(definition.image)
        cache = open_cache(definition, backend)
        began = time.perf_counter()
        populate_only(cache)
        cold = time.perf_counter() - began
        stage, tree = backend.images.open(cache.chain.keys[-1])
        copy = directory / "copy"
        clone(stage, copy, tree)

        bare, ours = [], []
        for _ in range(rounds + 1):
            bare.append(bare_start(copy, directory))
            ours.append(warm_boot(definition))
        report("bare postgres, data copied", bare[1:])
        report("boot(), warm", ours[1:], bare[1:])
        print(f"{'populate, three seeds, cold':34} {cold * 1000:8.1f} ms")
        command_lines(directory, rounds)


def warm_boot(definition: Definition) -> float:
    began = time.perf_counter()
    with boot(definition) as server, server.connect() as connection:
        row = connection.execute(QUERY).fetchone()
        took = time.perf_counter() - began
    assert row == (20000,)
    return took


def bare_start(data: Path, scratch: Path) -> float:
    """Start, poll every millisecond, one query; the stop is not counted."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as sockets:
        (Path(sockets) / "hba").write_text("local all all trust\n")
        options = {
            **parameters.effective({}, test_profile=True),
            "listen_addresses": "",
            "unix_socket_directories": sockets,
            "hba_file": f"{sockets}/hba",
        }
        installation = next(iter(binaries.installations()))
        argv = [*account.choose().prefix, installation.program("postgres"), "-D", str(data)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        began = time.perf_counter()
        with running(argv, scratch / "bare.log"), connected(sockets) as connection:
            row = connection.execute(QUERY).fetchone()
            took = time.perf_counter() - began
        assert row == (20000,)
        return took


@contextmanager
def running(argv: list[str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        server = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


@contextmanager
def connected(sockets: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    while True:
        try:
            connection = psycopg.connect(host=sockets, user="postgres", dbname="postgres")
        except psycopg.OperationalError:
            time.sleep(0.001)
        else:
            break
    with connection:
        yield connection


def command_lines(directory: Path, rounds: int) -> None:
    program = shutil.which("pg-ephemeral", path=sysconfig.get_path("scripts"))
    assert program is not None
    config = directory / "database.toml"
    seeds = "".join(
        f'[instances.main.seeds.{name}]\ntype = "sql-statement"\nstatement = "{text}"\n' for name, text in SEEDS
    )
    config.write_text(f'backend = "embedded"\n{seeds}')
    for arguments in (["--help"], ["--quiet", "host", "run-env", "true"]):
        took = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            subprocess.run([program, *arguments], check=True, cwd=directory, stdout=subprocess.DEVNULL)
            took.append(time.perf_counter() - began)
        report("pg-ephemeral " + " ".join(arguments), took[1:])


def report(what: str, took: list[float], beside: list[float] | None = None) -> None:
    low, middle, high = (value * 1000 for value in (min(took), statistics.median(took), max(took)))
    ratio = ""
    if beside is not None:
        pairs = sorted(ours / theirs for ours, theirs in zip(took, beside, strict=True))
        ratio = f"   {statistics.median(pairs):.2f}x (of {pairs[0]:.2f} to {pairs[-1]:.2f})"
    print(f"{what:34} {middle:8.1f} ms  (min {low:.1f}, max {high:.1f}){ratio}")


if __name__ == "__main__":
    main()
