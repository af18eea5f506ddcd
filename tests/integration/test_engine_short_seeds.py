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
from pg_ephemeral.seeds.sql import SqlStatement
from support import engines, machine

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

#: A comment that makes a seed too long for anything but the usual way, and moves no line.
_LONG = "/*" + "x" * MOST_TEXT + "*/"


@pytest.fixture(autouse=True)
def _cache(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty(engine: str, tmp_path: Path) -> Iterator[Definition]:
    """Without seeds, on the engine, under a name of its own."""
    instance, running = f"t-{secrets.token_hex(4)}", engines.containers(engine)
    definition = Definition(directory=tmp_path).with_image(machine.IMAGE).with_backend(engine)
    yield definition.with_instance(instance).with_wait_available_timeout(60)
    assert engines.containers(engine) == running
    engines.remove_images(engine, instance)


def rows(server: Server, query: str) -> list[tuple[object, ...]]:
    with server.connect() as connection:
        return connection.execute(query).fetchall()


def with_file(empty: Definition, content: bytes) -> Definition:
    (empty.directory / "seed.sql").write_bytes(content)
    return empty.apply_file("file", "seed.sql")


def failure(definition: Definition) -> SeedFailed:
    with pytest.raises(SeedFailed) as caught, boot(definition):
        pass
    return caught.value


@pytest.mark.each_engine
def test_the_engine_is_not_asked_to_run_them(
    empty: Definition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.wrap(str(empty.backend), tmp_path, f'echo "$1" >>{tmp_path}/calls', monkeypatch)
    short = empty.apply_sql_statement("short", f"CREATE TABLE t (n text) -- {empty.instance}")
    with boot(short.apply_sql_statement("long", f"INSERT INTO t VALUES ('long') {_LONG}")) as server:
        assert rows(server, "SELECT n FROM t") == [("long",)]
    assert (tmp_path / "calls").read_text().split().count("exec") == 1


def test_every_byte_of_it_arrives(empty: Definition) -> None:
    """Lines that look like the end of what is sent, quotes, and what is no UTF-8."""
    lines = [".", "..x", "", "$newline $(false) `false` \"'' %s", "run -- x", "ü", "  indented\t", "end\r", "."]
    text = "\n".join(lines)
    content = b"-- \xff\xfe\nCREATE TABLE t (n text);\r\nINSERT INTO t VALUES ($x$%b$x$)" % text.encode()
    with boot(with_file(empty, content)) as server:
        assert rows(server, "SELECT n FROM t") == [(text,)]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (n int);\nSELECT 1;\nINSERT INTO t\n  VALUES (y);\nSELECT 2;\n",
        "DO $$ BEGIN RAISE NOTICE 'one: %', repeat('x', 200); END $$;\n\nDO $$ BEGIN\n PERFORM 1/0;\nEND $$;",
        "SELECT 'ü' ||\n  'unfinished",
        "BEGIN; CREATE TABLE t (n int);\nCREATE TABLE t (n int);",
    ],
    ids=["pointed-at", "after-a-notice", "unfinished", "in-a-transaction"],
)
def test_a_failure_is_told_in_the_same_words(empty: Definition, text: str) -> None:
    short = failure(with_file(empty, text.encode()))
    long = failure(with_file(empty, f"SELECT 1 {_LONG}; {text}".encode()))
    assert "seed.sql:" in short.message
    assert (short.message, short.hint, short.detail) == (long.message, long.hint, long.detail)


def test_of_very_many_notices_the_failure_is_found(empty: Definition) -> None:
    text = "DO $$ BEGIN FOR i IN 1..3000 LOOP RAISE NOTICE '%', repeat('x', 100); END LOOP; END $$;\nSELECT nope;\n"
    assert failure(with_file(empty, text.encode())).message == (
        "seed 'file': seed.sql:2: ERROR: column \"nope\" does not exist"
    )


def test_one_that_takes_too_long_is_ended(empty: Definition) -> None:
    slow = SqlStatement(name=SeedName("slow"), statement="SELECT pg_sleep(3600)", timeout=0.5)
    assert failure(empty.add_seed(slow)).message == "seed 'slow' did not end within 0.5 s, its timeout"


def test_a_container_that_is_gone_is_told_of(empty: Definition) -> None:
    engine = str(empty.backend)

    def remove(event: Event) -> None:
        if isinstance(event, SeedStarted):
            for container in engines.containers(engine):
                engines.call(engine, "rm", "--force", "--volumes", container)

    seeded = empty.apply_sql_statement("slow", f"SELECT pg_sleep(3600) -- {empty.instance}")
    with pytest.raises(ServerError, match="the server died while seed 'slow' was applied"):
        boot(seeded, progress=remove).__enter__()


def test_a_server_that_dies_of_it_is_told_of(empty: Definition) -> None:
    kill = "kill -QUIT $(head -n 1 /var/lib/pg-ephemeral/postmaster.pid)"
    definition = empty.apply_sql_statement("fatal", f"COPY (SELECT 1) TO PROGRAM '{kill}'; SELECT pg_sleep(3600)")
    with pytest.raises(ServerError, match="the server died while seed 'fatal' was applied"), boot(definition):
        pass
