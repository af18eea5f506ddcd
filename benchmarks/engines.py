"""Warm and cold boots on container engines, beside the floor: a bare ``run`` of the same image and its first answer.

    python benchmarks/engines.py [ROUNDS]

Ours and the floor take turns in one run, so that what else the machine does meets both. Engine calls are counted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pg_ephemeral import Definition, boot
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.cache import open_cache, reset
from pg_ephemeral.image import ImageWord
from pg_ephemeral.populate import populate_only

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
IMAGE = os.environ.get("PG_EPHEMERAL_TEST_IMAGE", "15")
INSTANCE = f"bench-{secrets.token_hex(3)}"


def definition() -> Definition:
    made = Definition(image=ImageWord.parse(IMAGE), directory=Path.cwd()).with_instance(INSTANCE)
    for number in range(3):
        made = made.apply_sql_statement(
            f"seed-{number}",
            f"CREATE TABLE {INSTANCE.replace('-', '_')}_{number} AS SELECT generate_series(1, 100) AS n",
        )
    return made


def answered(conninfo: str) -> None:
    """Connect as soon as it can be done, and ask something."""
    while True:
        try:
            with psycopg.connect(conninfo, connect_timeout=2) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            time.sleep(0.002)
        else:
            return


def floor(engine: str, image: str) -> float:
    """``run --detach`` of the image, its port, its first answer, and nothing else: not even a password."""
    name = f"floor-{secrets.token_hex(4)}"
    began = time.monotonic()
    rules = "local all all trust\nhost all all all trust\n"
    command = f'printf "{rules}" >/tmp/hba && exec docker-entrypoint.sh postgres -c hba_file=/tmp/hba -c fsync=off'
    arguments = ["run", "--detach", "--rm", "--name", name, "--publish", "127.0.0.1::5432", "--entrypoint", "sh"]
    try:
        subprocess.run([engine, *arguments, image, "-c", command], check=True, stdout=subprocess.DEVNULL)
        port = subprocess.run([engine, "port", name, "5432"], check=True, capture_output=True, text=True).stdout
        answered(f"host=127.0.0.1 port={port.strip().rpartition(':')[2]} user=postgres dbname=postgres sslmode=disable")
        return time.monotonic() - began
    finally:
        subprocess.run([engine, "rm", "--force", "--volumes", name], check=False, capture_output=True)


def ours(made: Definition, backend: EngineBackend) -> float:
    began = time.monotonic()
    with boot(made, backend=backend) as server:
        answered(server.conninfo.connection_string)
        return time.monotonic() - began


def command_line(engine: str, directory: Path) -> float:
    began = time.monotonic()
    program = [sys.executable, "-m", "pg_ephemeral", "--quiet", "--backend", engine, "--image", IMAGE]
    subprocess.run([*program, "host", "run-env", "true"], check=True, cwd=directory)
    return time.monotonic() - began


@contextmanager
def counted_calls(engine: str) -> Iterator[Callable[[], list[str]]]:
    """Put a program in the engine's place that writes down what it is asked before it is the engine."""
    real = shutil.which(engine)
    assert real is not None
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "calls"
        stand_in = Path(directory) / engine
        stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1 $2" >>"{log}"\nexec "{real}" "$@"\n')
        stand_in.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{directory}{os.pathsep}{before}"
        try:
            yield lambda: log.read_text().splitlines() if log.exists() else []
        finally:
            os.environ["PATH"] = before


def calls_of(engine: str, work: Callable[[], object]) -> str:
    with counted_calls(engine) as calls:
        work()
        words = [call.split()[0] if not call.startswith("image") else call for call in calls()]
        return f"{len(words)}: {', '.join(words)}"


def measure(dialect: Dialect) -> None:
    engine = dialect.program
    made = definition()
    fresh = EngineBackend(dialect, made.image)
    cold = []
    # The cluster of a superuser that nobody else has is nobody else's stage 0: it is made here, too.
    from_nothing = made.with_superuser(INSTANCE)
    for _ in range(max(2, ROUNDS // 3)):
        began = time.monotonic()
        populate_only(open_cache(from_nothing, EngineBackend(dialect, made.image)))
        cold.append(time.monotonic() - began)
        list(reset(from_nothing, fresh, force=True))
    cache = open_cache(made, fresh)
    populate_only(cache)
    stage = fresh.images.local_name(cache.reference(cache.chain.keys[-1]))
    pairs = [(floor(engine, stage), ours(made, EngineBackend(dialect, made.image))) for _ in range(ROUNDS)]
    with tempfile.TemporaryDirectory() as directory:
        statement = f'CREATE TABLE "{INSTANCE}" ()'
        (Path(directory) / "database.toml").write_text(
            f"[instances.main.seeds]\none = {{ type = 'sql-statement', statement = '{statement}' }}\n"
        )
        command_line(engine, Path(directory))
        lines = [command_line(engine, Path(directory)) for _ in range(ROUNDS)]
        line_calls = calls_of(engine, lambda: command_line(engine, Path(directory)))
    warm_calls = calls_of(engine, lambda: ours(made, EngineBackend(dialect, made.image)))
    list(reset(made, fresh, force=True))
    cold_calls = calls_of(engine, lambda: populate_only(open_cache(from_nothing, EngineBackend(dialect, made.image))))
    list(reset(from_nothing, fresh, force=True))
    ratio = statistics.median(mine / bare for bare, mine in pairs)
    table = (
        ("floor: bare run, first answer", statistics.median(bare for bare, _ in pairs), ""),
        ("warm boot, first answer", statistics.median(mine for _, mine in pairs), f"{ratio:.2f}x; {warm_calls}"),
        ("host run-env true, warm", statistics.median(lines), line_calls),
        ("cluster and three seeds, cold", statistics.median(cold), cold_calls),
    )
    print(engine)
    for what, seconds, remark in table:
        print(f"  {what:32}{seconds:7.3f} s   {remark}")


if __name__ == "__main__":
    for one in (DOCKER, PODMAN):
        if shutil.which(one.program) is not None:
            measure(one)
