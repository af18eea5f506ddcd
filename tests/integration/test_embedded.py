"""What a server of the embedded backend is like: profile, locale, access, TLS, and how big its stages are."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

import pg_ephemeral
from pg_ephemeral import ClientError, Definition, PostgresNotFound, SeedFailed, Server, ServerError, boot
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import open_cache
from pg_ephemeral.errors import BackendError
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres import account as accounts
from pg_ephemeral.postgres import client, datadir, parameters
from pg_ephemeral.postgres.binaries import Installation
from pg_ephemeral.postgres.conninfo import Conninfo, NetworkEndpoint, SocketEndpoint
from pg_ephemeral.postgres.initdb import server_environment
from support import machine


@pytest.fixture(autouse=True)
def _use_the_warm_cache(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))


def _network(conninfo: Conninfo) -> NetworkEndpoint:
    assert isinstance(conninfo.endpoint, NetworkEndpoint)
    return conninfo.endpoint


def _socket(conninfo: Conninfo) -> SocketEndpoint:
    assert isinstance(conninfo.endpoint, SocketEndpoint)
    return conninfo.endpoint


def show(server: Server, name: str) -> str:
    with client.connect(server.conninfo) as connection:
        return str(connection.rows("SELECT current_setting(%s)", (name,))[0][0])


# acceptance: 69
def test_a_default_definition_answers() -> None:
    with boot(Definition()) as server:
        assert server.running
        with server.connect() as connection:
            assert connection.execute("SELECT true").fetchone() == (True,)
    assert not server.running


# fault: W56
def test_the_test_profile_is_on_and_one_setting_turns_it_off() -> None:
    with boot(Definition()) as server:
        for name, value in parameters.TEST_PROFILE.items():
            assert show(server, name) == value
    with boot(Definition().with_test_profile(enabled=False)) as server:
        assert [show(server, name) for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3


def test_parameters_reach_the_server_and_win_over_the_profile() -> None:
    definition = Definition().with_parameter("work_mem", "17MB").with_parameter("wal_level", "logical")
    with boot(definition) as server:
        assert show(server, "work_mem") == "17MB"
        assert show(server, "wal_level") == "logical"


# fault: W31
def test_a_parameter_the_server_refuses_is_reported_in_its_own_words(warm_cache: Path) -> None:
    with pytest.raises(ServerError) as caught, boot(Definition().with_parameter("work_mem", "abc")):
        pass
    assert 'invalid value for parameter "work_mem"' in (caught.value.detail or "")
    assert list((warm_cache / "embedded" / "v1" / "run").iterdir()) == []


@pytest.mark.parametrize("installation", machine.installations(), ids=lambda one: one.version.text)
def test_the_locale_is_the_same_on_every_machine(installation: Installation) -> None:
    version = installation.version
    with boot(Definition().with_image(version.text)) as server:
        assert show(server, "server_encoding") == "UTF8"
        assert show(server, "TimeZone") == "Etc/UTC"
        assert show(server, "default_text_search_config") == "pg_catalog.english"
        with client.connect(server.conninfo) as connection:
            ((provider, collate, ctype),) = connection.rows(
                "SELECT datlocprovider::text, datcollate, datctype FROM pg_database WHERE datname = current_database()"
            )
            assert (collate, ctype) == ("C", "C")
            assert provider == ("b" if version.major >= 17 else "c")


def test_superuser_and_database_have_the_names_asked_for() -> None:
    with (
        boot(Definition().with_superuser("App-Admin").with_database("my shop")) as server,
        server.connect() as connection,
    ):
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("App-Admin", "my shop")


# fault: W32
def test_only_the_password_lets_one_in() -> None:
    from dataclasses import replace

    with boot(Definition()) as server:
        wrong = replace(server.conninfo, password="wrong")
        with pytest.raises(ClientError) as caught:
            client.connect(wrong)
        assert caught.value.sqlstate in ("28P01", None)
        control = replace(server._handle.control, password="wrong")
        with pytest.raises(ClientError):
            client.connect(control)
        address = str(_network(server.conninfo).host)
        assert address == "127.0.0.1"
        assert show(server, "listen_addresses") == "127.0.0.1"


# fault: W13, W37
def test_no_password_is_in_argv_nor_in_a_file_that_others_can_read() -> None:
    with boot(Definition()) as server:
        password = str(server.conninfo.password).encode()
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert password not in process.read_bytes()
            except OSError:
                continue
        directory = server._handle.cluster.data  # type: ignore[attr-defined] # an embedded handle
        sockets = Path(str(_socket(server._handle.control).socket_path))
        for private in (directory, sockets, directory.parent):
            assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0


# fault: W13, W37
def test_no_stage_holds_a_password_of_ours_nor_its_verifier(cache_directory: Path) -> None:
    definition = Definition()
    for number in range(2):
        definition = definition.apply_sql_statement(
            f"t{number}", f"CREATE TABLE t{number} (x int); CREATE ROLE r{number}"
        )
    with boot(definition) as server:
        password = str(server.conninfo.password).encode()
        with server.connect() as connection:
            assert connection.execute("SELECT left(rolpassword, 14) FROM pg_authid WHERE oid = 10").fetchone() == (
                "SCRAM-SHA-256$",
            )
    stages = list((cache_directory / "embedded" / "v1" / "stages").iterdir())
    assert len(stages) == 3
    for stage in stages:
        for file in stage.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert password not in content
                assert b"SCRAM-SHA-256$" not in content, file


# fault: W13
def test_a_module_that_keeps_statements_does_not_keep_ours(cache_directory: Path) -> None:
    definition = Definition().with_parameter("shared_preload_libraries", "pg_stat_statements")
    with boot(definition.apply_sql_statement("a", "CREATE TABLE noted (x int); CREATE EXTENSION pg_stat_statements")):
        pass
    kept = list((cache_directory / "embedded" / "v1" / "stages").rglob("pg_stat_statements.stat"))
    assert any(b"CREATE TABLE noted" in file.read_bytes() for file in kept), "it does keep statements"
    assert not any(b"SCRAM" in file.read_bytes() for file in kept)


def test_a_stage_holds_no_password_of_the_superuser_and_those_of_other_roles(warm_cache: Path, tmp_path: Path) -> None:
    definition = Definition().apply_sql_statement(
        "roles", "CREATE ROLE app PASSWORD 'x'; ALTER ROLE postgres PASSWORD 'the seed''s'"
    )
    with boot(definition) as server, client.connect(server.conninfo) as connection:
        query = "SELECT rolname, left(rolpassword, 14) AS begins FROM pg_authid WHERE rolname IN ('app', 'postgres')"
        assert dict(connection.rows(query)) == {"postgres": "SCRAM-SHA-256$", "app": "SCRAM-SHA-256$"}
    backend = EmbeddedBackend(definition.image)
    data, tree = backend.images.open(open_cache(definition, backend).chain.keys[-1])
    datadir.clone(data, tmp_path / "data", tree)
    # A server that is no server: nobody logs in, and it sets no password.
    account = accounts.choose()
    if account.foreign:
        pytest.skip("the clone would have to be given away")
    postgres = str(server.programs / "postgres") if server.programs else "postgres"
    done = subprocess.run(
        [*account.prefix, postgres, "--single", "-D", str(tmp_path / "data"), "postgres"],
        input=f"{query}\n",
        env=server_environment(),
        capture_output=True,
        text=True,
    )
    found = re.findall(r'(rolname|begins) = "([^"]*)"', done.stdout)
    assert sorted(found) == [("begins", "SCRAM-SHA-256$"), ("rolname", "app"), ("rolname", "postgres")], done


# acceptance: 70
# fault: W38
@pytest.mark.needs("tls")
def test_tls_is_verified_in_full_and_nothing_else_is_let_in() -> None:
    from dataclasses import replace

    from pg_ephemeral.postgres.conninfo import SslMode

    version = machine.with_tls().version.text
    definition = Definition().with_image(version).with_tls("postgresql.example.com")
    with boot(definition) as server:
        assert server.env()["PGSSLMODE"] == "verify-full"
        with client.connect(server.conninfo) as connection:
            assert connection.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
        plain = replace(server.conninfo, sslmode=SslMode.DISABLE, sslrootcert=None)
        with pytest.raises(ClientError, match="no encryption"):
            client.connect(plain)
        root = Path(str(server.conninfo.sslrootcert))
        assert root.exists()
    assert not root.exists(), "certificates go with the server"


@pytest.mark.needs("wheel")
def test_tls_without_openssl_is_refused_before_anything_starts(cache_directory: Path) -> None:
    wheel = next(one for one in machine.installations() if "wheel" in one.source)
    if any(one.has_tls and one.version.text == wheel.version.text for one in machine.installations()):
        pytest.skip("this machine has that version with OpenSSL, too")
    definition = Definition().with_image(wheel.version.text).with_tls("localhost")
    with pytest.raises(PostgresNotFound, match="OpenSSL"), boot(definition):
        pass
    assert not cache_directory.exists()


def test_a_version_that_is_not_here_lists_those_that_are() -> None:
    with pytest.raises(PostgresNotFound) as caught, boot(Definition().with_image("99")):
        pass
    for installation in machine.installations():
        assert installation.version.text in caught.value.message


@pytest.mark.parametrize("image", ["ghcr.io/owner/postgres:17", "localhost:5000/postgres:17"])
def test_a_container_image_is_refused_with_a_hint(image: str) -> None:
    with pytest.raises(BackendError, match="container image") as caught, boot(Definition().with_image(image)):
        pass
    assert "docker" in (caught.value.hint or "")


@pytest.mark.parametrize("backend", ["docker", "podman"])
def test_a_backend_of_another_release_says_so(backend: str) -> None:
    with pytest.raises(BackendError, match=backend), boot(Definition().with_backend(backend)):
        pass


def test_a_container_script_is_refused_before_anything_starts(cache_directory: Path) -> None:
    with (
        pytest.raises(BackendError, match="seed 'packages'"),
        boot(Definition().apply_container_script("packages", "apt-get install -y x")),
    ):
        pass
    assert not (cache_directory / "embedded" / "v1" / "stages").exists()


# fault: W24
def test_ten_stages_of_a_small_database_take_at_most_twice_the_space_of_one(cache_directory: Path) -> None:
    definition = Definition()
    for number in range(10):
        definition = definition.apply_sql_statement(
            f"stage-{number}", f"CREATE TABLE t{number} AS SELECT n FROM generate_series(1, 1000) n"
        )
    backend = EmbeddedBackend(definition.image)
    cache = open_cache(definition, backend)
    populate_only(cache)
    stages = cache_directory / "embedded" / "v1" / "stages"

    def size(*directories: Path) -> int:
        files = {}
        for directory in directories:
            for path in directory.rglob("*"):
                status = path.lstat()
                files[status.st_ino] = status.st_blocks * 512
        return sum(files.values())

    last = size(stages / cache.chain.keys[-1])
    everything = size(*(stages / key for key in cache.chain.keys))
    assert len(cache.chain.keys) == 11
    assert everything <= 2 * last, f"{everything} bytes for all, {last} for the last"


# fault: W36
def test_variables_of_the_caller_lead_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "PGSERVICE": "production",
        "PGHOSTADDR": "192.0.2.1",
        "PGHOST": "production.example.com",
        "PGPORT": "1",
        "PGOPTIONS": "-c search_path=nowhere",
        "PGPASSFILE": str(tmp_path / "none"),
        "PGTARGETSESSIONATTRS": "standby",
        "PGREQUIREAUTH": "gss",
        "PGREQUIREPEER": "nobody-here",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(tmp_path / "none"),
        "PGSSLCERT": str(tmp_path / "none"),
        "PGUSER": "somebody",
        "PGDATABASE": "elsewhere",
        "PGPASSWORD": "theirs",
        "PGCHANNELBINDING": "require",
        "PGGSSENCMODE": "require",
        "PGAPPNAME": "theirs",
        "DATABASE_URL": "postgres://production.example.com/",
    }.items():
        monkeypatch.setenv(name, value)
    definition = (
        Definition(directory=tmp_path)
        .apply_sql_statement("table", "CREATE TABLE seen (line text)")
        .apply_script("environment", "env | grep -E '^(PG[A-Z]|DATABASE_URL)' | sort | psql -c 'COPY seen FROM STDIN'")
    )
    with boot(definition) as server:
        with server.connect() as connection:
            lines = [line for (line,) in connection.execute("SELECT line FROM seen").fetchall()]
        names = {line.partition("=")[0] for line in lines}
        assert names == set(server.env())
        assert os.environ["PGSERVICE"] == "production", "the caller's own environment is left alone"


# acceptance: 71
def test_a_program_sees_exactly_what_the_api_reports() -> None:
    with boot(Definition()) as server:
        done = subprocess.run(
            ["sh", "-c", "env | grep -E '^(PG[A-Z]|DATABASE_URL)'"],
            env=server.environment(),
            capture_output=True,
            text=True,
        )
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
        assert seen == server.env()
        path = server.environment()["PATH"].split(os.pathsep)
        assert (Path(path[0]) / "psql").exists()
        assert Conninfo.parse_url(seen["DATABASE_URL"]) == server.conninfo


# acceptance: 75
def test_an_open_client_is_told_and_does_not_hang() -> None:
    import psycopg

    with boot(Definition()) as server:
        connection = server.connect()
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT 1")
    connection.close()


def test_extensions_of_the_installation_can_be_loaded_through_parameters() -> None:
    definition = (
        Definition()
        .with_parameter("shared_preload_libraries", "pg_stat_statements")
        .apply_sql_statement("extension", "CREATE EXTENSION pg_stat_statements")
    )
    try:
        with boot(definition) as server, server.connect() as connection:
            assert connection.execute("SELECT count(*) >= 0 FROM pg_stat_statements").fetchone() == (True,)
    except (ServerError, SeedFailed) as error:
        pytest.fail(f"{error}: {error.detail}")


def test_a_failing_boot_in_a_thread_or_a_cancelled_one_leaves_nothing(warm_cache: Path) -> None:
    import asyncio

    async def cancelled() -> None:
        async def forever() -> None:
            async with pg_ephemeral.aboot(Definition()):
                await asyncio.sleep(0.9)

        task = asyncio.ensure_future(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list((warm_cache / "embedded" / "v1" / "run").iterdir()) == []


def test_asynchronous_callers_get_the_same_server() -> None:
    import asyncio

    async def query() -> tuple[object, ...] | None:
        async with pg_ephemeral.aboot(Definition()) as server:
            import psycopg

            async with await psycopg.AsyncConnection.connect(server.url) as connection:
                cursor = await connection.execute("SELECT 42")
                return await cursor.fetchone()

    assert asyncio.run(query()) == (42,)
