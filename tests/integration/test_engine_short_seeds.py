"""Short seeds of SQL, which reach psql in the container without the engine: as if they had gone the usual way."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral import Definition, SeedFailed, Server, ServerError, boot
from pg_ephemeral.backends.engine.programs import MOST_TEXT
from pg_ephemeral.progress import Event, SeedStarted
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.sql import SqlFile, SqlStatement
from pg_ephemeral.server import SeedTarget
from support import engines, machine
from support.seed_target import load

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

#: A comment that makes a seed too long for anything but the usual way, and moves no line.
_LONG = "/*" + "x" * MOST_TEXT + "*/"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def _cache(warm_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
        yield


@pytest.fixture(scope="module")
def empty(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Definition]:
    """Without seeds, on the engine, under a name of its own."""
    instance, running = f"t-{secrets.token_hex(4)}", engines.containers(engine)
    definition = Definition(directory=tmp_path_factory.mktemp("project")).with_image(machine.IMAGE)
    yield definition.with_backend(engine).with_instance(instance).with_wait_available_timeout(60)
    assert engines.containers(engine) == running
    engines.remove_images(engine, instance)


@pytest.fixture(scope="module")
def server(empty: Definition) -> Iterator[Server]:
    """One for all seeds that do not meddle with each other."""
    with boot(empty) as server:
        yield server


def apply(server: Server, content: bytes) -> None:
    """As a seed, past the cache."""
    definition = server.definition
    (definition.directory / "seed.sql").write_bytes(content)
    seed = SqlFile(name=SeedName("file"), path=Path("seed.sql"))
    load(seed, definition.directory).apply(SeedTarget(server._handle, definition))


def failure(server: Server, text: str) -> SeedFailed:
    with pytest.raises(SeedFailed) as caught:
        apply(server, text.encode())
    return caught.value


def rows(server: Server, query: str) -> list[tuple[object, ...]]:
    with server.connect() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.each_engine
def test_the_engine_does_not_run_them(empty: Definition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines.wrap(str(empty.backend), tmp_path, f'echo "$1" >>{tmp_path}/calls', monkeypatch)
    short = empty.apply_sql_statement("short", f"CREATE TABLE t (n text) -- {empty.instance}")
    with boot(short.apply_sql_statement("long", f"INSERT INTO t VALUES ('long') {_LONG}")) as server:
        assert rows(server, "SELECT n FROM t") == [("long",)]
    assert (tmp_path / "calls").read_text().split().count("exec") == 1


def test_every_byte_of_it_arrives(server: Server) -> None:
    """Lines that look like the end of what is sent, quotes, and what is no UTF-8."""
    lines = [".", "..x", "", "$newline $(false) `false` \"'' %s", "run -- x", "ü", "  indented\t", "end\r", "."]
    text = "\n".join(lines)
    apply(server, b"-- \xff\xfe\nCREATE TABLE bytes (n text);\r\nINSERT INTO bytes VALUES ($x$%b$x$)" % text.encode())
    assert rows(server, "SELECT n FROM bytes") == [(text,)]
    # Data that ends with the text, and with empty lines, which are rows.
    apply(server, b"CREATE TABLE lines (n text);\nCOPY lines FROM stdin;\na\n\n\n")
    assert rows(server, "SELECT n FROM lines") == [("a",), ("",), ("",)]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TEMP TABLE t (n int);\nSELECT 1;\nINSERT INTO t\n  VALUES (y);\nSELECT 2;\n",
        "DO $$ BEGIN RAISE NOTICE 'one: %', repeat('x', 200); END $$;\n\nDO $$ BEGIN\n PERFORM 1/0;\nEND $$;",
        "SELECT 'ü' ||\n  'unfinished",
        "BEGIN; CREATE TEMP TABLE t (n int);\nCREATE TEMP TABLE t (n int);",
    ],
    ids=["pointed-at", "after-a-notice", "unfinished", "in-a-transaction"],
)
def test_a_failure_is_told_in_the_same_words(server: Server, text: str) -> None:
    short, long = failure(server, text), failure(server, f"SELECT 1 {_LONG}; {text}")
    assert "seed.sql:" in short.message
    assert (short.message, short.hint, short.detail) == (long.message, long.hint, long.detail)


def test_of_very_many_notices_the_failure_is_found(server: Server) -> None:
    text = "DO $$ BEGIN FOR i IN 1..3000 LOOP RAISE NOTICE '%', repeat('x', 100); END LOOP; END $$;\nSELECT nope;\n"
    assert failure(server, text).message == "seed 'file': seed.sql:2: ERROR: column \"nope\" does not exist"


def test_one_that_takes_too_long_is_ended(empty: Definition) -> None:
    slow = SqlStatement(name=SeedName("slow"), statement="SELECT pg_sleep(3600)", timeout=0.5)
    with pytest.raises(SeedFailed) as caught, boot(empty.add_seed(slow)):
        pass
    assert caught.value.message == "seed 'slow' did not end within 0.5 s, its timeout"


def test_a_container_that_is_gone_is_told_of(empty: Definition) -> None:
    engine, others = str(empty.backend), engines.containers(str(empty.backend))

    def remove(event: Event) -> None:
        if isinstance(event, SeedStarted):
            for container in engines.containers(engine):
                if container not in others:
                    engines.call(engine, "rm", "--force", "--volumes", container)

    seeded = empty.apply_sql_statement("slow", f"SELECT pg_sleep(3600) -- {empty.instance}")
    with pytest.raises(ServerError, match="the server died while seed 'slow' was applied"):
        boot(seeded, progress=remove).__enter__()
    assert engines.containers(engine) == others


def test_a_server_that_dies_of_it_is_told_of(empty: Definition) -> None:
    kill = "kill -QUIT $(head -n 1 /var/lib/pg-ephemeral/postmaster.pid)"
    definition = empty.apply_sql_statement("fatal", f"COPY (SELECT 1) TO PROGRAM '{kill}'; SELECT pg_sleep(3600)")
    with pytest.raises(ServerError, match="the server died while seed 'fatal' was applied"), boot(definition):
        pass
