"""The command line on container engines: contexts, exit codes, streams, and files that belong to the caller."""

from __future__ import annotations

import os
import pty
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import termios
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from support import engines, machine
from support.project import PROGRAM, Project, eventually

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

_CONFIG = """
backend = "{engine}"
image = "{image}"
wait_available_timeout = "60s"

[instances.{instance}.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE item (id integer PRIMARY KEY, name text NOT NULL) -- {instance}"

[instances.{instance}.seeds.chatty]
type = "script"
script = "echo from a seed"

[instances.{instance}.seeds.file]
type = "sql-file"
path = "seed.sql"

[instances.{instance}-empty]
"""

#: A user without a name and without a home.
_SOMEBODY = 54321


@dataclass(kw_only=True)
class Cli:
    """The command line in a project's directory, on one engine and one instance."""

    engine: str
    instance: str
    project: Project

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.project.run("--quiet", "--instance", self.instance, *arguments, **options)

    def ok(self, *arguments: str, **options: Any) -> str:
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def at(self, directory: Path) -> Cli:
        """In another directory, with the same file."""
        here = self.project.directory / "database.toml"
        project = replace(self.project, directory=directory)
        return _Elsewhere(engine=self.engine, instance=self.instance, project=project, file=here)

    @property
    def empty(self) -> Cli:
        """The same, with the instance that has no seeds."""
        return replace(self, instance=f"{self.instance}-empty")


@dataclass(kw_only=True)
class _Elsewhere(Cli):
    file: Path

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return super().run("--config-file", str(self.file), *arguments, **options)


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, warm_cache: Path) -> Iterator[Cli]:
    """Populated once for all tests of the module; in a directory that a container may be shown."""
    engine, instance = request.param, f"t-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="pge-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        project = Project(directory=directory, cache=warm_cache)
        project.write(
            database_toml=_CONFIG.format(engine=engine, image=machine.IMAGE, instance=instance),
            seed_sql="\\echo from psql\nINSERT INTO item VALUES (1, 'one');\n",
        )
        cli = Cli(engine=engine, instance=instance, project=project)
        assert cli.run("cache", "populate").returncode == 0
        yield cli
    assert engines.containers(engine) == []
    engines.remove_images(engine, instance)


@pytest.fixture
def cli(shared: Cli) -> Iterator[Cli]:
    """With an environment of the test's own."""
    yield replace(shared, project=replace(shared.project, environment={}))
    runs = shared.project.cache / shared.engine / "run"
    assert list(runs.glob("*")) == []


# fault: W29
def test_stdout_carries_the_data_alone_on_a_cold_cache_and_a_warm_one(cli: Cli) -> None:
    cli.run("cache", "reset")
    cold = cli.run("schema-dump")
    assert cold.returncode == 0, cold.stderr
    assert "from a seed" in cold.stderr
    assert "CREATE TABLE public.item (" in cold.stdout
    assert cli.ok("schema-dump") == cold.stdout
    assert cli.ok("container", "schema-dump") == cold.stdout


def _then_cat() -> tuple[str, ...]:
    """The program, and what it has left of its standard input."""
    return ("sh", "-c", '"$@" >/dev/null && cat', "sh", *PROGRAM)


_CONTEXTS = [pytest.param((), id="bare"), pytest.param(("host",), id="host"), pytest.param(("container",), id="inside")]


@pytest.mark.parametrize("context", _CONTEXTS)
class TestEveryContext:
    # fault: W28
    def test_the_exit_code_is_the_programs_own(self, cli: Cli, context: tuple[str, ...]) -> None:
        assert cli.empty.run(*context, "run-env", "sh", "-c", "exit 5").returncode == 5
        assert cli.empty.run(*context, "run-env", "no-such-program").returncode == 127

    # acceptance: 71
    # fault: W36
    def test_a_program_is_connected_by_its_environment(self, cli: Cli, context: tuple[str, ...]) -> None:
        cli.project.environment = {"PGSERVICE": "elsewhere", "PGHOSTADDR": "192.0.2.1", "PGOPTIONS": "-c nonsense=1"}
        query = "psql -XAtc 'SELECT name FROM item' && psql -XAtd \"$DATABASE_URL\" -c 'SELECT 2'"
        if context == ("host",) and shutil.which("psql") is None:
            pytest.skip("this host has no psql")
        assert cli.ok(*context, "run-env", "sh", "-c", query) == "one\n2\n"

    def test_a_program_that_is_only_to_write_leaves_our_input_alone(self, cli: Cli, context: tuple[str, ...]) -> None:
        if context == ("host",) and shutil.which("pg_dump") is None:
            pytest.skip("this host has no pg_dump")
        assert cli.ok(*context, "schema-dump", input="for later\n", program=_then_cat()) == "for later\n"

    def test_without_an_input_programs_read_nothing(self, cli: Cli, context: tuple[str, ...]) -> None:
        closed = ("sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM)
        assert cli.empty.ok(*context, "run-env", "sh", "-c", "cat; echo read", program=closed) == "read\n"
        everything = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *PROGRAM)
        assert cli.empty.run(*context, "run-env", "sh", "-c", "cat; exit 4", program=everything).returncode == 4

    def test_shell_reads_commands(self, cli: Cli, context: tuple[str, ...]) -> None:
        cli.project.environment = {"SHELL": "/bin/sh"}
        assert cli.ok(*context, "shell", input='echo "$PGUSER $PGDATABASE"\nexit 0\n') == "postgres postgres\n"
        assert cli.empty.run(*context, "shell", input="exit 3\n").returncode == 3


# fault: W27
def test_tools_of_the_image(cli: Cli) -> None:
    assert cli.ok("psql", "-XAtc", "SELECT name FROM item") == "one\n"
    assert cli.ok("container", "psql", "-XAt", input="SELECT name FROM item;\n") == "one\n"
    done = cli.empty.run("pgbench", "--initialize", "--scale", "1", "--quiet")
    assert done.returncode == 0, done.stderr
    initialize = ("pgbench", "--initialize", "--quiet")
    assert cli.empty.run("container", *initialize, input="for later\n", program=_then_cat()).stdout == "for later\n"
    for wrong in (("pgbench", "--nonsense"), ("psql", "-XAtc", "SELECT nonsense"), ("container", "psql", "-c", "x")):
        failed = cli.empty.run(*wrong)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr


# fault: W63
def test_the_url_is_one_that_other_libraries_read(cli: Cli) -> None:
    url = cli.ok("host", "run-env", "sh", "-c", 'printf %s "$DATABASE_URL"')
    parts = urlsplit(url)
    assert parts.scheme in {"postgres", "postgresql"}
    assert (parts.hostname, parts.username, parts.path) == ("127.0.0.1", "postgres", "/postgres")
    assert parts.port
    assert re.fullmatch(r"\w{32}", parts.password or "")
    assert not {"host", "hostaddr", "dbname", "user", "password", "port"} & parse_qs(parts.query).keys()
    said = psycopg.conninfo.conninfo_to_dict(url)
    assert (said["host"], said["user"], said["dbname"]) == ("127.0.0.1", "postgres", "postgres")
    inside = cli.ok("container", "run-env", "sh", "-c", 'printf %s "$DATABASE_URL"')
    assert psycopg.conninfo.conninfo_to_dict(inside)["host"] == "/var/run/postgresql"


# fault: W40
def test_files_made_in_the_working_directory_are_the_callers(cli: Cli) -> None:
    directory = cli.project.directory
    (directory / "given").write_text("read inside\n")
    made = "cat given; pwd; touch made; mkdir deep; touch deep/er"
    assert cli.ok("run-env", "sh", "-c", made) == f"read inside\n{directory}\n"
    for name in ("made", "deep", "deep/er"):
        assert (directory / name).stat().st_uid == os.getuid()
    assert cli.empty.ok("bin", "--", "sh", "-c", "cat given; pwd; touch also") == f"read inside\n{directory}\n"
    assert (directory / "also").stat().st_uid == os.getuid()


@pytest.fixture
def somebody(cli: Cli) -> Iterator[tuple[Cli, tuple[str, ...]]]:
    """An ordinary user who may use the engine; the command line as that user runs it."""
    if os.geteuid() != 0:
        yield cli, PROGRAM
        return
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    socket = Path("/var/run/docker.sock")
    if cli.engine != "docker" or not socket.exists():
        pytest.skip("a rootful engine that others may use is docker alone")
    with tempfile.TemporaryDirectory(prefix="pge-", dir="/var/tmp") as name:
        home = Path(name)
        os.chown(home, _SOMEBODY, socket.stat().st_gid)
        environment = {"HOME": name, "PG_EPHEMERAL_CACHE_DIR": f"{name}/cache"}
        # Our Python may be root's to read alone: so this user may read it.
        program = (
            *("setpriv", f"--reuid={_SOMEBODY}", f"--regid={socket.stat().st_gid}", "--clear-groups"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--", *PROGRAM),
        )
        there = cli.at(home)
        there.project.environment = environment
        yield there, program


# fault: W40, W41
def test_files_are_an_ordinary_users_too(somebody: tuple[Cli, tuple[str, ...]]) -> None:
    cli, program = somebody
    user = cli.project.directory.stat().st_uid
    for command in (("run-env",), ("bin", "--")):
        said = cli.ok(*command, "sh", "-c", f"id -u; touch by-{command[0]}", program=program)
        assert said == f"{user if os.geteuid() == 0 else engines.inside(cli.engine)}\n"
        assert (cli.project.directory / f"by-{command[0]}").stat().st_uid == user
    with pytest.raises(KeyError):
        pwd.getpwuid(_SOMEBODY)


# fault: W40, W41
@pytest.mark.needs("rootless")
def test_without_roots_rights_root_inside_is_the_caller_outside(cli: Cli) -> None:
    if cli.engine != "podman":
        pytest.skip("docker is root's")
    info = cli.project.json("--instance", cli.instance, "meta", "info", "--json")
    assert info["rootless"] is True
    for command in (("run-env",), ("bin", "--"), ("container", "run-env")):
        assert cli.empty.ok(*command, "id", "-u") == "0\n"
    assert cli.empty.ok("run-env", "sh", "-c", "touch by-root; stat -c %u by-root") == "0\n"
    assert (cli.project.directory / "by-root").stat().st_uid == os.getuid() != 0


# fault: W42
def test_a_directory_may_be_called_anything(cli: Cli) -> None:
    directory = cli.project.directory / "a, b \"c\" 'd' =e $f"
    directory.mkdir()
    there = cli.at(directory)
    assert there.ok("run-env", "sh", "-c", "pwd; touch made") == f"{directory}\n"
    assert (directory / "made").exists()
    assert there.ok("bin", "--", "pwd") == f"{directory}\n"


# fault: W42
@pytest.mark.parametrize("directory", ["/", "/usr", "/etc", "/tmp", "/var"])
def test_a_directory_that_the_image_needs_is_refused(cli: Cli, directory: str) -> None:
    there = cli.at(Path(directory))
    for command in (("run-env", "true"), ("psql", "-c", "SELECT 1"), ("bin", "--", "true")):
        done = there.run(*command)
        assert (done.returncode, done.stdout) == (69, "")
        assert done.stderr.startswith(f"error: directory {directory} cannot be shared with a container")
        assert "hint: " in done.stderr
    if directory == "/":
        assert there.ok("host", "run-env", "pwd") == "/\n"
        assert there.ok("container", "run-env", "echo", "in") == "in\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
@pytest.mark.parametrize("command", [("psql", "-X"), ("bin", "sh")], ids=lambda command: command[0])
def test_the_terminal_is_given_back_as_it_was(cli: Cli, command: tuple[str, ...], number: signal.Signals) -> None:
    """The engine's client, which had it, does not hear of the signal, and is killed."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(ours)
    running = cli.project.start(
        *("--quiet", "--instance", cli.empty.instance, *command), stdin=theirs, stdout=theirs, stderr=theirs
    )
    said = b""
    while b"# " not in said and b"$ " not in said:
        said += os.read(ours, 4096)
    eventually(lambda: not termios.tcgetattr(ours)[3] & termios.ICANON)
    running.send_signal(number)
    assert running.wait(timeout=60) == 128 + number
    assert termios.tcgetattr(ours) == before
    os.close(ours)
    os.close(theirs)
    eventually(lambda: not engines.containers(cli.engine, process=running.pid))


class TestBin:
    """``bin``: a program of the image, in this directory, as the caller, without a server."""

    # acceptance: 137, 138
    # fault: W28
    def test_it_is_the_images_program_in_this_directory(self, cli: Cli) -> None:
        (cli.project.directory / "file").write_text("content\n")
        assert cli.ok("bin", "--", "cat", "file") == "content\n"
        major = engines.call(cli.engine, "run", "--rm", machine.IMAGE_REFERENCE, "postgres", "--version").split()[2]
        assert f"(PostgreSQL) {major}" in cli.ok("bin", "pg_dump", "--version")
        assert cli.ok("bin", "cat", input="piped\n") == "piped\n"
        assert cli.ok("bin", "cat", program=("sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM)) == ""
        assert cli.run("bin", "sh", "-c", "exit 9").returncode == 9
        assert cli.run("bin", "no-such-program").returncode == 127

    # acceptance: 139
    # fault: W27
    def test_our_variables_go_in(self, cli: Cli) -> None:
        cli.project.environment = {"PGSSLMODE": "bogus"}
        done = cli.run("bin", "--", "psql", "--host", "127.0.0.1", "-c", "SELECT 1")
        assert done.returncode == 2
        assert "bogus" in done.stderr
        cli.project.environment = {"PGAPPNAME": "a\nb $c 'd'", "OTHER": "not this"}
        assert cli.ok("bin", "--", "sh", "-c", 'printf "%s|%s" "$PGAPPNAME" "$OTHER"') == "a\nb $c 'd'|"

    # fault: W37
    def test_a_password_stays_out_of_every_argument(self, cli: Cli) -> None:
        password = secrets.token_hex(16)
        cli.project.environment = {"PGPASSWORD": password}
        running = cli.project.start(
            *("--quiet", "--instance", cli.instance, "bin", "sh", "-c", 'echo "$PGPASSWORD"; cat'),
            stdin=subprocess.PIPE,
        )
        assert running.stdout is not None
        assert running.stdout.readline() == f"{password}\n"
        (container,) = engines.containers(cli.engine, process=running.pid)
        seen = [command for command in _commands() if container.encode() in command]
        assert seen, "the engine's client is among them"
        assert not any(password.encode() in command for command in _commands())
        running.communicate("", timeout=60)
        assert running.returncode == 0
        assert engines.containers(cli.engine, process=running.pid) == []

    # fault: W25
    def test_a_signal_leaves_nothing(self, cli: Cli) -> None:
        running = cli.project.start(
            *("--quiet", "--instance", cli.instance, "bin", "sh", "-c", "echo up; exec sleep 600"),
            start_new_session=True,
        )
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        os.killpg(running.pid, signal.SIGHUP)
        try:
            running.communicate(timeout=60)
        finally:
            running.kill()
        assert running.returncode == 128 + signal.SIGHUP
        eventually(lambda: not engines.containers(cli.engine, process=running.pid))


def _commands() -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(process.read_bytes())
        except OSError:
            continue
    return found


# fault: W53
def test_what_engine_and_stages_are_can_be_asked(cli: Cli) -> None:
    info = cli.project.json("--instance", cli.instance, "meta", "info", "--json")
    assert info["backend"] == cli.engine
    assert cli.run("cache", "populate").returncode == 0
    assert all(image.startswith("pg-ephemeral/") for image in cli.project.images("--instance", cli.instance) if image)
    status = cli.project.json("--instance", cli.instance, "cache", "status", "--json")
    assert status["summary"] == {"total": 3, "hits": 3, "misses": 0, "uncacheable": 0}
    told = cli.project.json("cache", "inspect", status["seeds"][-1]["cache_image"])
    assert [seed["name"] for seed in told["seeds"]] == ["schema", "chatty", "file"]


# fault: W35
def test_an_image_that_cannot_be_had_is_one_line_with_a_hint(cli: Cli) -> None:
    done = cli.empty.run("--image", "localhost:9/nobody/postgres:17", "run-env", "true")
    assert done.returncode == 69
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "localhost:9/nobody/postgres:17" in errors[0]
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


# fault: W31
def test_a_bad_parameter_is_reported_in_the_servers_words(cli: Cli) -> None:
    done = cli.empty.run("--parameter", "work_mem=abc", "run-env", "true")
    assert (done.returncode, done.stdout) == (71, "")
    assert 'invalid value for parameter "work_mem": "abc"' in done.stderr


# fault: W33, W34
def test_an_engine_that_is_down_is_no_empty_cache(cli: Cli) -> None:
    variable = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}[cli.engine]
    cli.project.environment = {variable: "unix:///no/such.sock", "CONTAINER_CONNECTION": ""}
    if cli.engine == "podman":
        cli.project.environment = {"CONTAINERS_STORAGE_CONF": "/no/such.conf"}
    done = cli.run("cache", "status")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith(f"error: {cli.engine} image inspect: ")
    assert "info" in done.stderr
