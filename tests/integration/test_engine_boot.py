"""Servers in containers: the same rows as everywhere, TLS, and nothing secret where others could read it."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
import pytest

from pg_ephemeral import BackendError, CacheError, Definition, Server, ServerError, boot
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import open_cache
from pg_ephemeral.postgres.conninfo import NetworkEndpoint
from pg_ephemeral.progress import Event, Finished
from support import engines, machine
from support.project import eventually

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

#: What an engine would give to every container.
_PROXY = "http://user:geheim@proxy.example:3128"

#: A seed's program that tells which password it got, and writes to the server with it.
_TELLING = """
import os, psycopg
with open("passwords", "a") as file:
    print(os.environ["PGPASSWORD"], file=file)
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    connection.execute("INSERT INTO item VALUES (2, 'told')")
"""


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


def three_seeds(directory: Path, salt: str) -> Definition:
    """Statements, a file that psql applies, CSV; and a program of this host."""
    (directory / "seed.sql").write_text(f"\\set word {salt}\nINSERT INTO item VALUES (1, :'word');\n")
    (directory / "item.csv").write_text('name,id\n"with, comma",3\n"ü",4\n')
    return (
        Definition(directory=directory)
        .with_instance(f"t-{salt}")
        .with_image(machine.IMAGE)
        .with_wait_available_timeout(60)
        .apply_sql_statement("table", f"CREATE TABLE item (id int PRIMARY KEY, name text); -- {salt}")
        .apply_file("file", "seed.sql")
        .apply_command("telling", sys.executable, ("-c", _TELLING))
        .apply_csv_file("csv", "item.csv", table="item")
        # Enough to be logged in segments that were used before.
        .apply_sql_statement(
            "much", "CREATE TABLE much AS SELECT n, repeat('x', 100) AS x FROM generate_series(1, 60000) n"
        )
    )


def test_psql_inside_finds_the_data_files_of_the_project(empty: Definition, tmp_path: Path) -> None:
    (tmp_path / "item.csv").write_text("1,one\n")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    definition = empty.apply_sql_statement(
        "files",
        "CREATE TABLE item (id int, name text);\n\\copy item from 'item.csv' csv\n\\lo_import 'logo.png' 'the logo'\n",
    )
    with boot(definition) as server:
        assert rows(server) == [(1, "one")]
        with server.connect() as connection:
            assert connection.execute("SELECT lo_get(oid) FROM pg_largeobject_metadata").fetchall() == [(b"\x89PNG",)]


def rows(server: Server) -> list[tuple[object, ...]]:
    with server.connect() as connection:
        return connection.execute("SELECT * FROM item ORDER BY id").fetchall()


# acceptance: 69, 76
# fault: W6, W52
@pytest.mark.needs("docker", "podman", "system")
def test_every_backend_gives_the_same_rows_and_builds_them_once(tmp_path: Path) -> None:
    salt = secrets.token_hex(4)
    keys = {}
    seen = {}
    try:
        for name in (*machine.ENGINES, "embedded"):
            definition = three_seeds(tmp_path, salt).with_backend(name)
            with boot(definition) as server:
                seen[name] = rows(server)
                assert server.contained is (name != "embedded")
            (tmp_path / "passwords").unlink()
            events: list[Event] = []
            with boot(definition, progress=events.append) as server:
                assert rows(server) == seen[name]
            (finished,) = (event for event in events if isinstance(event, Finished))
            assert (finished.built, finished.reused, finished.replayed) == (0, 5, 0)
            assert not (tmp_path / "passwords").exists(), "no seed was applied"
            keys[name] = open_cache(definition, select(definition)).chain.keys
    finally:
        for name in machine.ENGINES:
            engines.remove_images(name, salt)
    assert seen["docker"] == seen["podman"] == seen["embedded"]
    assert seen["docker"] == [(1, salt), (2, "told"), (3, "with, comma"), (4, "ü")]
    assert keys["docker"] == keys["podman"]
    assert set(keys["docker"]).isdisjoint(keys["embedded"])


@dataclass(kw_only=True)
class Guarded:
    """A server with TLS and seeds, cold a moment ago, that runs; and every password there was."""

    engine: str
    container: str
    definition: Definition
    server: Server
    passwords: list[str]


@pytest.fixture(scope="module")
def guarded(engine: str, warm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server for all who look for its key, its password and that of its builder."""
    directory = tmp_path_factory.mktemp("tls")
    definition = three_seeds(directory, secrets.token_hex(4)).with_backend(engine).with_tls("pg.example.com")
    # Of no other superuser's cluster, so that every stage is made here; with a module that keeps statements.
    definition = definition.with_superuser(definition.instance).with_parameter(
        "shared_preload_libraries", "pg_stat_statements"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
        running = engines.containers(engine)
        with ExitStack() as stack:
            with pytest.MonkeyPatch.context() as inner:
                engines.give_proxies(engine, _PROXY, tmp_path_factory.mktemp("proxies"), inner)
                server = stack.enter_context(boot(definition))
            (container,) = set(engines.containers(engine)) - set(running)
            passwords = [*(directory / "passwords").read_text().split(), server.conninfo.password or ""]
            assert len(set(passwords)) == 2
            yield Guarded(engine=engine, container=container, definition=definition, server=server, passwords=passwords)
    assert engines.containers(engine) == running
    engines.remove_images(engine, definition.instance)


# acceptance: 70
def test_the_name_is_verified(guarded: Guarded) -> None:
    with guarded.server.connect() as connection:
        found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert found == (True,)
    assert guarded.server.env()["PGSSLMODE"] == "verify-full"
    with pytest.raises(Exception, match="does not match host name"):
        guarded.server.connect(host="other.example.com")


# fault: W38
def test_a_plain_connection_is_refused(guarded: Guarded) -> None:
    endpoint = guarded.server.conninfo.endpoint
    assert isinstance(endpoint, NetworkEndpoint)
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(
            host="127.0.0.1",
            port=endpoint.port,
            user=guarded.definition.superuser,
            password=guarded.server.conninfo.password,
            dbname="postgres",
            sslmode="disable",
        )


# fault: W39
def test_programs_inside_connect(guarded: Guarded) -> None:
    query = "SELECT count(*) FROM item"
    for argv in (("psql", "-XAtc", query), ("sh", "-c", 'psql "$DATABASE_URL" -XAtc "$0"', query)):
        call = guarded.server.program(argv)
        done = subprocess.run(call.argv, env=call.env, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("4\n", "")


# fault: W37
@pytest.mark.each_engine
def test_no_secret_is_in_an_argument_or_in_what_the_engine_tells_of_the_container(guarded: Guarded) -> None:
    described = engines.call(guarded.engine, "container", "inspect", guarded.container)
    pem = engines.call(guarded.engine, "exec", guarded.container, "cat", "/dev/shm/pg-ephemeral/server.key")
    key = pem.splitlines()[1]
    assert len(key) > 40
    sought = [*guarded.passwords, key, "SCRAM-SHA-256$", _PROXY]
    assert [text for text in (*sought, "PRIVATE KEY") if text in described] == []
    commands = _commands()
    assert any(guarded.container.encode() in command for command in commands), "the search finds what is there"
    for command in commands:
        assert [text for text in sought if text.encode() in command] == [], command


# fault: W13, W37
@pytest.mark.each_engine
def test_no_secret_is_in_a_stage(guarded: Guarded, tmp_path: Path) -> None:
    stages = engines.images(guarded.engine, guarded.definition.instance)
    assert len(stages) == 6
    for stage in stages:
        told = engines.call(guarded.engine, "image", "inspect", stage)
        told += engines.call(guarded.engine, "history", "--no-trunc", stage)
        assert [text for text in (*guarded.passwords, "SCRAM", "PRIVATE KEY", _PROXY) if text in told] == []
    newest = max(stages, key=lambda name: len(_layers(guarded.engine, name)))
    added = _added_layers(guarded.engine, newest, tmp_path / "image.tar")
    assert len(added) >= 2
    salt = guarded.definition.instance.removeprefix("t-").encode()
    assert any(salt in layer for layer in added), "the search finds what is there"
    secret = rb"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]{16,}\$|PRIVATE KEY-----\n[A-Za-z0-9+/]{40}"
    sought = re.compile(b"|".join([secret, *(text.encode() for text in (*guarded.passwords, _PROXY))]))
    assert [found[0] for layer in added for found in sought.finditer(layer)] == []


def _commands() -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(process.read_bytes())
        except OSError:
            continue
    return found


def _layers(engine: str, image: str) -> list[str]:
    (document,) = json.loads(engines.call(engine, "image", "inspect", image))
    return list(document["RootFS"]["Layers"])


def _added_layers(engine: str, image: str, archive: Path) -> list[bytes]:
    """The layers of an image that its base does not have, as uncompressed tar files."""
    engines.call(engine, "save", "--output", str(archive), image)
    with tarfile.open(archive) as saved:
        (about,) = json.load(_member(saved, "manifest.json"))
        added = about["Layers"][len(_layers(engine, machine.IMAGE_REFERENCE)) :]
        contents = [_member(saved, name).read() for name in added]
    archive.unlink()
    assert all(content[257:262] == b"ustar" for content in contents)
    return contents


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    opened = archive.extractfile(name)
    assert opened is not None
    return opened


# fault: W32
def test_names_that_need_quoting(empty: Definition) -> None:
    superuser, database = "My user: ü; -- %s", "host=nowhere.invalid \"base\" 'x' :y $1 \\"
    (empty.directory / "seed.sql").write_text("INSERT INTO item VALUES (current_user), (current_database());\n")
    definition = (
        empty.with_superuser(superuser)
        .with_database(database)
        .apply_sql_statement("table", "CREATE TABLE item (name text)")
        .apply_file("file", "seed.sql")
    )
    for _ in range(2):
        with boot(definition) as server, server.connect() as connection:
            assert connection.execute("SELECT name FROM item").fetchall() == [(superuser,), (database,)]
    backend = select(definition)
    cache = open_cache(definition, backend)
    (newest,) = backend.images.get([cache.reference(cache.chain.keys[-1])]).values()
    assert newest.labels["pg-ephemeral.superuser.user"] == superuser
    assert newest.labels["pg-ephemeral.superuser.database"] == database


# fault: W31
def test_a_parameter_the_server_refuses_is_reported_at_once_in_its_own_words(empty: Definition) -> None:
    """At once, or this test would take an hour."""
    definition = empty.with_parameter("work_mem", "abc").with_wait_available_timeout(3600)
    with pytest.raises(ServerError) as caught, boot(definition):
        pass
    assert 'invalid value for parameter "work_mem": "abc"' in (caught.value.detail or "")
    assert "parameter" in (caught.value.hint or "")


def test_a_name_with_a_line_break_is_one_name(empty: Definition) -> None:
    """Not two, nor the end of what is sent inside; but Docker cannot write it into a label."""
    superuser, database = "a\n.\nb", ".\n..x\n."
    definition = empty.with_superuser(superuser).with_database(database)
    if empty.backend == "docker":
        with pytest.raises(CacheError, match=r"label with .*\\n.* line break"), boot(definition):
            pass
        return
    for _ in range(2):
        with boot(definition) as server, server.connect() as connection:
            found = connection.execute("SELECT current_user, current_database()").fetchone()
            assert found == (superuser, database)


def test_defaults_of_the_server_do_not_hinder_its_start(empty: Definition) -> None:
    definition = empty.with_parameter("default_transaction_read_only", "on").with_parameter("log_statement", "all")
    with boot(definition) as server, server.connect() as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE t (n int)")
        eventually(lambda: "CREATE TABLE t" in server.recent_log())
        assert "SCRAM" not in server.recent_log()


def test_a_seed_may_close_the_template_and_the_first_database(empty: Definition) -> None:
    close = "UPDATE pg_database SET datallowconn = false WHERE datname = 'template1'"
    with boot(empty.apply_sql_statement("close", close)) as server, server.connect() as connection:
        found = connection.execute("SELECT datallowconn FROM pg_database WHERE datname = 'template1'").fetchone()
        assert found == (False,)


# fault: W59
@pytest.mark.each_engine
def test_the_volume_that_the_image_declares_goes_with_the_container(empty: Definition) -> None:
    engine, running = str(empty.backend), engines.containers(str(empty.backend))
    with boot(empty):
        (container,) = set(engines.containers(engine)) - set(running)
        mounts = json.loads(engines.call(engine, "container", "inspect", "--format", "{{json .Mounts}}", container))
        volumes = {mount["Name"] for mount in mounts if mount["Type"] == "volume"}
        assert volumes <= engines.volumes(engine)
        assert volumes, "the image declares one"
    assert volumes.isdisjoint(engines.volumes(engine))


# acceptance: 75
def test_an_open_client_is_told_that_the_server_stops(empty: Definition) -> None:
    with boot(empty) as server:
        connection = server.connect()
        assert connection.execute("SELECT true").fetchone() == (True,)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_sleep(600)")
    connection.close()


# acceptance: 71, 162, 163, 164, 165
def test_programs_beside_the_server(empty: Definition, tmp_path: Path) -> None:
    def run(server: Server, *argv: str, directory: Path | None = None, text: str = "") -> tuple[int, str]:
        call = server.program(argv, directory=directory)
        done = subprocess.run(call.argv, env=call.env, input=text, stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout

    with boot(empty, directories=[tmp_path]) as server:
        assert run(server, "echo", "a b") == (0, "a b\n")
        assert run(server, "sh", "-c", "exit 3") == (3, "")
        assert run(server, "cat", text="data\n") == (0, "data\n")
        assert run(server, "pwd", directory=tmp_path) == (0, f"{tmp_path}\n")
        inside = dict(line.split("=", 1) for line in run(server, "env")[1].splitlines())
        mine = {name: value for name, value in inside.items() if name.startswith("PG") and name not in _OF_THE_IMAGE}
        told = server._handle.inside_conninfo  # type: ignore[attr-defined]  # no other backend has one
        assert mine == told.env()
        assert inside["DATABASE_URL"] == told.url
        assert inside["PGPASSWORD"] == server.conninfo.password


_OF_THE_IMAGE = {"PGDATA", "PG_MAJOR", "PG_VERSION", "PG_SHA256"}


@pytest.mark.each_engine
def test_what_the_image_is_and_who_runs_it_can_be_asked(engine: str) -> None:
    # acceptance: 177
    info = select(Definition().with_image(machine.IMAGE).with_backend(engine)).info()
    assert info.name == engine
    assert re.match(r"\d", info.version)
    assert isinstance(info.rootless, bool)


@pytest.mark.each_engine
def test_a_directory_the_engine_does_not_see_is_refused_with_what_to_do(empty: Definition, tmp_path: Path) -> None:
    unseen = [tmp_path / "elsewhere"]
    with pytest.raises(BackendError, match="cannot show this directory") as caught, boot(empty, directories=unseen):
        pass
    assert "pg-ephemeral host" in (caught.value.hint or "")


def test_only_what_came_too_late_is_told_to_wait_longer(empty: Definition) -> None:
    with boot(empty):
        pass
    slow = empty.with_wait_available_timeout(0.001)
    with pytest.raises(ServerError, match=r"did not accept a connection within 0\.001 s") as caught, boot(slow):
        pass
    assert "wait_available_timeout" in (caught.value.hint or "")


# fault: W35
@pytest.mark.each_engine
def test_an_image_that_is_nowhere_is_one_clear_error(empty: Definition) -> None:
    definition = empty.with_image(f"localhost:9/t-{secrets.token_hex(4)}/postgres:17")
    with pytest.raises(BackendError) as caught, boot(definition):
        pass
    assert re.match(
        rf"image localhost:9/t-\w+/postgres:17 is not here and {empty.backend} cannot", caught.value.message
    )
    assert "\n" not in caught.value.message
    assert "name and the network" in (caught.value.hint or "")
