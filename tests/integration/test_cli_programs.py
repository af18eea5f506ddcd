"""Programs run against a booted instance: exit codes, streams, environment, signals."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import servers_below
from support import machine
from support.project import PROGRAM, Project, eventually

pytestmark = pytest.mark.needs("embedded")

_SEEDS = """
[instances.main.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE item (id integer PRIMARY KEY, name text NOT NULL)"

[instances.main.seeds.chatty]
type = "script"
script = "echo from a seed; psql -c 'INSERT INTO item VALUES (1, 2)'"

[instances.empty]
image = "latest"
"""

_CONTEXTS = [(), ("host",), ("container",)]
_ids = ["bare", "host", "container"]


@pytest.fixture
def project(tmp_path: Path, warm_cache: Path) -> Project:
    project = Project(directory=tmp_path, cache=warm_cache)
    project.write(database_toml=_SEEDS)
    return project


@pytest.mark.parametrize("arguments", [("psql",), ("bin", "psql")], ids=" ".join)
def test_a_directory_that_was_removed_is_one_line(project: Project, arguments: tuple[str, ...]) -> None:
    gone = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh", *PROGRAM)
    file = ("--config-file", str(project.directory / "database.toml"))
    done = project.run(*file, *arguments, program=gone)
    assert (done.returncode, done.stderr) == (78, "error: the working directory does not exist any more\n")


@pytest.mark.parametrize("context", _CONTEXTS, ids=_ids)
class TestEveryContext:
    """Bare, ``host`` and ``container`` are the same on this backend."""

    def test_psql(self, project: Project, context: tuple[str, ...]) -> None:
        assert project.ok(*context, "psql", "-XAtc", "SELECT name FROM item") == "2\n"
        assert project.ok(*context, "psql", "--", "-XAt", input="SELECT 1;") == "1\n"

    def test_run_env(self, project: Project, context: tuple[str, ...]) -> None:
        project.environment = {"PGSERVICE": "elsewhere", "PGOPTIONS": "-c nonsense=1", "KEPT": "yes"}
        lines = project.ok(*context, "run-env", "env").splitlines()
        variables = dict(line.split("=", 1) for line in lines if "=" in line)
        assert variables["PGHOST"] == "127.0.0.1"
        assert variables["DATABASE_URL"].startswith("postgres")
        assert variables["KEPT"] == "yes"
        assert not {"PGSERVICE", "PGOPTIONS"} & {*variables}

    def test_run_env_passes_arguments_on(self, project: Project, context: tuple[str, ...]) -> None:
        script = 'psql -XAtc "SELECT $1"'
        assert project.ok(*context, "run-env", "sh", "-c", script, "-", "41 + 1") == "42\n"
        assert project.ok(*context, "run-env", "--", "printf", "%s,", "-a", "--", "--instance") == "-a,--,--instance,"

    def test_shell(self, project: Project, context: tuple[str, ...]) -> None:
        project.environment = {"SHELL": "/bin/sh"}
        assert project.ok(*context, "shell", input="psql -XAtc 'SELECT count(*) FROM item'\n") == "1\n"

    def test_pgbench(self, project: Project, context: tuple[str, ...]) -> None:
        done = project.run(*context, "pgbench", "--instance", "empty", "--initialize", "--scale", "1", "--quiet")
        assert done.returncode == 0, done.stderr

    def test_schema_dump(self, project: Project, context: tuple[str, ...]) -> None:
        first = project.ok(*context, "schema-dump")
        assert first == project.ok(*context, "schema-dump")
        assert "CREATE TABLE public.item (" in first
        assert first.endswith("-- PostgreSQL database dump complete\n--\n")
        assert "Dumped" not in first
        assert "restrict" not in first


@pytest.mark.parametrize("status", [0, 1, 5, 125, 126, 127, 255])
# fault: W28
def test_the_exit_code_is_the_programs_own(project: Project, status: int) -> None:
    done = project.run("run-env", "--instance", "empty", "sh", "-c", f"exit {status}")
    assert done.returncode == status


# fault: W28
def test_a_program_that_a_signal_ends_is_reported_as_shells_do(project: Project) -> None:
    assert project.run("run-env", "--instance", "empty", "sh", "-c", "kill -9 $$").returncode == 137


def test_a_program_that_cannot_be_run_ends_us_as_a_shell_does(project: Project) -> None:
    plain = project.directory / "plain"
    plain.write_text("not a program")
    for program, status in (("no-such-program", 127), (str(plain), 126)):
        done = project.run("--quiet", "--instance", "empty", "run-env", program)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.startswith(f"error: cannot run {program}: ")


# fault: W27
def test_a_failing_tool_is_no_crash(project: Project) -> None:
    done = project.run("psql", "--instance", "empty", "-XAtc", "SELECT nonsense")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert project.run("pgbench", "--instance", "empty", "--nonsense").returncode == 1


def test_without_a_command_it_is_psql(project: Project) -> None:
    assert project.ok("--instance", "empty", input="\\echo :DBNAME\n") == "postgres\n"
    assert "(1 row)" in project.ok(input="SELECT 1;")


# fault: W29
def test_on_a_cold_cache_stdout_carries_the_data_alone(project: Project, cache_directory: Path) -> None:
    warm = project.ok("schema-dump")
    project.cache = cache_directory
    cold = project.run("schema-dump")
    assert cold.stdout == warm
    assert "from a seed\n" in cold.stderr
    assert cold.stderr.splitlines()[-1].startswith("main: ready in ")
    assert cold.stderr.splitlines()[-1].endswith(" (2 built)")


def test_schema_dump_takes_the_options_of_pg_dump(project: Project) -> None:
    assert "CREATE TABLE" not in project.ok("schema-dump", "--exclude-table", "item")
    assert "OWNER" not in project.ok("schema-dump", "--no-owner", "--table", "item")


def test_a_failing_dump_prints_nothing_and_ends_as_pg_dump_does(project: Project) -> None:
    done = project.run("--quiet", "schema-dump", "--table", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pg_dump: error: ")


def test_the_servers_own_programs_come_first(project: Project) -> None:
    client, server = project.ok(
        "run-env", "--instance", "empty", "sh", "-c", "psql --version; psql -XAtc 'SHOW server_version'"
    ).splitlines()
    assert client.split()[2] == server.split()[0]


def test_quiet(project: Project) -> None:
    assert project.run("--quiet", "run-env", "true").stderr == ""


def test_options_reach_the_server(project: Project) -> None:
    arguments = ("--parameter", "work_mem=3MB", "--parameter", "work_mem=7MB", "--instance", "empty")
    assert project.ok(*arguments, "psql", "-XAtc", "SHOW work_mem") == "7MB\n"


def test_a_failing_seed_is_one_error_and_leaves_nothing(project: Project, cache_directory: Path) -> None:
    project.cache = cache_directory
    project.write(database_toml='[instances.main.seeds.wrong]\ntype = "sql-statement"\nstatement = "SELEC 1"\n')
    done = project.run("run-env", "true")
    assert (done.returncode, done.stdout) == (65, "")
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "wrong" in error


_SIGNALS = [
    (signal.SIGINT, 130, "error: interrupted"),
    (signal.SIGTERM, 143, "error: interrupted by SIGTERM"),
    (signal.SIGHUP, 129, "error: interrupted by SIGHUP"),
]


# fault: W25, W26
@pytest.mark.parametrize(("number", "status", "message"), _SIGNALS, ids=[str(number.name) for number, *_ in _SIGNALS])
@pytest.mark.parametrize(
    "seed",
    [
        'type = "script"\nscript = "touch began; sleep 300"',
        'type = "script"\nscript = "touch began; psql -c \'SELECT pg_sleep(300)\'"',
        'type = "sql-statement"\nstatement = "COPY (SELECT 1) TO PROGRAM \'cat > $BEGAN\'; SELECT pg_sleep(300)"',
    ],
    ids=["script", "psql", "sql"],
)
def test_a_signal_while_a_seed_runs_leaves_nothing(
    project: Project, cache_directory: Path, seed: str, number: signal.Signals, status: int, message: str
) -> None:
    project.cache = cache_directory
    began = project.directory / "began"
    if machine.servers_are_foreign():
        project.directory.chmod(0o777)  # the server writes there
    project.write(database_toml=f"[instances.main.seeds.slow]\n{seed.replace('$BEGAN', str(began))}\n")
    running = project.start("--quiet", "run-env", "true", start_new_session=True)
    eventually(began.exists)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (status, "")
    assert err.splitlines()[-1] == message
    assert "Traceback" not in err
    assert list((cache_directory / "embedded" / "v1" / "run").glob("*")) == []


def _alive(pid: str) -> bool:
    """Whether it runs; a process that ended and was not waited for by its new parent does not."""
    try:
        return Path(f"/proc/{pid or 'none'}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# fault: W25
@pytest.mark.parametrize("attempt", range(3))
def test_a_signal_while_a_seed_is_being_started_leaves_nothing(
    project: Project, cache_directory: Path, attempt: int
) -> None:
    project.cache = cache_directory
    script = "kill -INT $PPID; echo $$ >pid; sleep 300"
    project.write(database_toml=f'[instances.main.seeds.rude]\ntype = "script"\nscript = "{script}"\n')
    done = project.run("--quiet", "run-env", "true")
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
    pid = project.directory / "pid"
    if pid.exists():
        eventually(lambda: not _alive(pid.read_text().strip()))


# fault: W25
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_a_program_runs_is_handed_on(
    project: Project, cache_directory: Path, number: signal.Signals, status: int
) -> None:
    project.cache = cache_directory
    running = project.start("--quiet", "--instance", "empty", "run-env", "sh", "-c", "echo ready; exec sleep 300")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    assert running.wait(timeout=30) == status
    assert running.communicate() == ("", "")


def test_a_server_of_a_killed_program_does_not_live_on(project: Project, cache_directory: Path) -> None:
    project.cache = cache_directory
    arguments = ("--quiet", "--instance", "empty", "run-env", "sh", "-c", "echo ready; cat")
    with project.start(*arguments, stdin=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        assert servers_below(cache_directory) != []
        running.kill()
    eventually(lambda: servers_below(cache_directory) == [])
    # What is left on disk goes with the next boot.
    project.ok("--instance", "empty", "run-env", "true")
    assert list((cache_directory / "embedded" / "v1" / "run").glob("*")) == []


def test_closing_the_reader_of_a_dump_is_quiet(project: Project) -> None:
    project.ok("cache", "populate")  # what seeds print is none of this
    reader, writer = os.pipe()
    os.close(reader)
    running = project.start("--quiet", "schema-dump", stdout=writer)
    os.close(writer)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (141, "")


def test_stdin_reaches_the_program(project: Project) -> None:
    assert project.ok("run-env", "--instance", "empty", "cat", input="through") == "through"


def test_a_program_gets_none_of_our_descriptors(project: Project) -> None:
    listing = project.ok("run-env", "--instance", "empty", "sh", "-c", "ls /proc/$$/fd")
    assert {int(number) for number in listing.split()} <= {0, 1, 2, 3}
