"""Whole boots that users of the program whose model we follow rely on, through the library and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pg_ephemeral import Definition, boot
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import inspect, open_cache, status
from pg_ephemeral.labels import Metadata
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo, NetworkEndpoint, SslMode
from pg_ephemeral.postgres.scram import verifier
from support import machine
from support.project import Project


@pytest.fixture(autouse=True)
def _use_the_warm_cache(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))


@pytest.fixture
def project(tmp_path: Path, warm_cache: Path) -> Project:
    return Project(directory=tmp_path, cache=warm_cache)


_Z_M_A = """
[instances.main.seeds]
z = { type = "sql-statement", statement = "CREATE TABLE declared (step text)" }
m = { type = "sql-statement", statement = "INSERT INTO declared VALUES ('inserted')" }
a = { type = "sql-statement", statement = "UPDATE declared SET step = 'updated' WHERE step = 'inserted'" }
"""


# acceptance: 83
def test_seeds_are_applied_as_they_are_declared_when_populated_and_when_booted(project: Project) -> None:
    project.write(database_toml=_Z_M_A)
    assert [seed["name"] for seed in project.json("cache", "populate", "--json")["seeds"]] == ["z", "m", "a"]
    assert project.ok("psql", "-XAtc", "SELECT step FROM declared") == "updated\n"


# acceptance: 83
def test_seeds_that_are_not_cached_are_applied_in_that_order_too(project: Project) -> None:
    table = 'type = "script", cache = { type = "none" }, script'
    project.write(
        database_toml=f"""
            [instances.main.seeds]
            z = {{ {table} = "psql -qc 'CREATE TABLE declared (step text)'" }}
            m = {{ type = "sql-statement", statement = "INSERT INTO declared VALUES ('inserted')" }}
            a = {{ type = "sql-statement", statement = "UPDATE declared SET step = 'updated' WHERE step = 'inserted'" }}
        """
    )
    assert project.ok("psql", "-XAtc", "SELECT step FROM declared") == "updated\n"


# acceptance: 72
def test_the_superusers_password_can_be_changed_while_it_runs() -> None:
    with boot(Definition()) as server:
        with client.connect(server._handle.control) as connection:
            connection.execute(f"ALTER ROLE postgres PASSWORD '{verifier('another one', b'salt')}'")
        with client.connect(replace(server.conninfo, password="another one")) as connection:
            assert connection.rows("SELECT current_user") == [("postgres",)]


def _labels(definition: Definition) -> Metadata:
    """What the last stage of a populated definition says of itself, by way of its labels."""
    backend = EmbeddedBackend(definition.image, tls=definition.tls is not None)
    cache = open_cache(definition, backend)
    populate_only(cache)
    return inspect(backend, cache.reference(cache.chain.keys[-1]))


# acceptance: 118, 121
def test_the_labels_of_a_stage_say_for_what_it_was_made() -> None:
    # Of a superuser that no other test has: who makes a stage first says for what.
    about = _labels(Definition().with_superuser("labelled"))
    assert (about.instance, about.image, about.superuser, about.database) == ("main", "latest", "labelled", "postgres")
    assert about.seeds == ()
    assert about.ssl_hostname is None


# acceptance: 122
@pytest.mark.needs("tls")
def test_the_labels_of_a_tls_stage_are_enough_to_know_where_to_connect() -> None:
    version = machine.with_tls().version.text
    definition = (
        Definition().with_image(version).with_tls("db.example.com").apply_sql_statement("one", "SELECT 1 AS labelled")
    )
    about = _labels(definition)
    assert about.ssl_hostname == "db.example.com"
    with boot(definition) as server:
        endpoint = server.conninfo.endpoint
        assert isinstance(endpoint, NetworkEndpoint)
        rebuilt = Conninfo(
            endpoint=NetworkEndpoint(host=about.ssl_hostname, host_addr="127.0.0.1", port=endpoint.port),
            user=about.superuser,
            database=about.database,
            password=server.conninfo.password,
            sslmode=SslMode.VERIFY_FULL,
            sslrootcert=server.conninfo.sslrootcert,
        )
        with client.connect(rebuilt) as connection:
            assert connection.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]


# fault: W39
@pytest.mark.needs("tls")
@pytest.mark.parametrize("context", [(), ("host",), ("container",)], ids=["bare", "host", "container"])
def test_every_program_connects_by_tls(project: Project, context: tuple[str, ...]) -> None:
    options = ("--quiet", "--image", machine.with_tls().version.text, "--ssl-hostname", "db.example.com", *context)
    ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert project.ok(*options, "psql", "-XAtc", ssl) == "t\n"
    assert project.ok(*options, "run-env", "sh", "-c", f'psql "$DATABASE_URL" -XAtc "{ssl}"') == "t\n"
    assert project.ok(*options, "schema-dump").endswith("-- PostgreSQL database dump complete\n--\n")
    assert project.run(*options, "pgbench", "--initialize", "--quiet").returncode == 0


# acceptance: 207
def test_a_variable_that_is_no_text_is_handed_on_as_it_is(project: Project) -> None:
    project.environment = {"ODD": os.fsdecode(b"\xff\xfe")}
    assert project.ok("run-env", "sh", "-c", 'printf %s "$ODD" | od -An -tx1').split() == ["ff", "fe"]


# fault: W42
@pytest.mark.parametrize("name", ["a, b", 'it\'s "quoted"', "ü=1", "$HOME"])
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    project = Project(directory=tmp_path / name, cache=tmp_path / name / "the cache")
    project.directory.mkdir()
    project.write(
        schema_sql="CREATE TABLE here (a integer);\n",
        database_toml="""
            [instances.main.seeds]
            schema = { type = "sql-file", path = "schema.sql" }
            pwd = { type = "script", script = "psql -qc \\"COMMENT ON TABLE here IS 'from $(basename schema.sql)'\\"" }
        """,
    )
    for _ in range(2):
        assert project.ok("psql", "-XAtc", "SELECT obj_description('here'::regclass)") == "from schema.sql\n"


# fault: W47
@pytest.mark.parametrize(
    "start", [lambda here: here / "deep" / "down", lambda here: here.parent], ids=["below", "above"]
)
def test_the_place_where_one_starts_it_does_not_matter(
    project: Project, tmp_path: Path, start: Callable[[Path], Path]
) -> None:
    home = tmp_path / "project"
    (home / "deep" / "down").mkdir(parents=True)
    (home / "rows.txt").write_text("from the project\n")
    (home / "key.txt").write_text("1")
    (home / "database.toml").write_text(
        """
        [instances.main.seeds.rows]
        type = "script"
        script = "psql -qc 'CREATE TABLE line (text text)' -c '\\\\copy line FROM rows.txt'"
        cache = { type = "key-script", script = "cat key.txt" }
        """
    )
    config = ("--config-file", str(home / "database.toml"))
    project.directory = home
    [image] = project.images(*config)
    project.directory = start(home)
    assert project.images(*config) == [image]
    assert project.ok(*config, "psql", "-XAtc", "SELECT text FROM line") == "from the project\n"


def _descendants(pid: int) -> dict[int, str]:
    """The processes below this one, by their number, with their command lines."""
    found: dict[int, str] = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has just ended
            for child in map(int, children.read_text().split()):
                found |= _descendants(child)
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                found[child] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


# fault: W71
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.usefixtures("cache_directory")
def test_the_library_boots_without_a_program_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    # Tests that ran before may have left registries and their guards for those that come.
    others = _descendants(os.getpid())
    with boot(Definition().apply_sql_statement("one", "CREATE TABLE one (a integer)")) as server:
        commands = [command for pid, command in _descendants(os.getpid()).items() if pid not in others]
        assert any("postgres" in command for command in commands)
        programs = {Path(command.split(" ")[0]).name for command in commands}
        assert not {name for name in programs if name.startswith(("python", "pg-ephemeral"))}
        with server.connect() as connection:
            assert connection.execute("SELECT count(*) FROM one").fetchone() == (0,)


# fault: W53
def test_a_warm_boot_is_one_server_whose_directory_waits_for_the_next(cache_directory: Path) -> None:
    definition = Definition().apply_sql_statement("one", "CREATE TABLE one (a integer)")
    populate_only(open_cache(definition, EmbeddedBackend(definition.image)))
    with boot(definition) as server:
        log = server._handle.log_file
        assert log is not None
        assert log.read_text().count("listening on Unix socket") == 1
        spares = cache_directory / "embedded" / "v1" / "spares"
        claimed = len(list(spares.glob("*/*")))
    assert len(list(spares.glob("*/*"))) == claimed + 1, "its directory waits for the next boot"
    summary = status(open_cache(definition, EmbeddedBackend(definition.image))).to_json()["summary"]
    assert summary["hits"] == 1
