"""The integration server: what a wrapper in another language relies on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import servers_below
from pg_ephemeral.postgres.conninfo import Conninfo
from support.project import Project, eventually

pytestmark = pytest.mark.needs("embedded")

_SEEDS = """
[instances.custom.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE item (id integer)"

[instances.fails.seeds.wrong]
type = "sql-statement"
statement = "SELEC 1"

[instances.looks.seeds.look]
type = "script"
script = "ls -l /proc/$$/fd > descriptors"

[instances.slow.seeds.slow]
type = "script"
script = "touch began; sleep 300"
"""


@pytest.fixture
def project(tmp_path: Path, cache_directory: Path) -> Project:
    project = Project(directory=tmp_path, cache=cache_directory)
    project.write(database_toml=_SEEDS)
    return project


class Wrapper:
    """What a wrapper does: two pipes, one program, one line of JSON."""

    def __init__(self, project: Project, instance: str) -> None:
        self.result, result_fd = os.pipe()
        control_fd, self.control = os.pipe()
        self.result_fd, self.control_fd = result_fd, control_fd
        self.process = project.start(
            *("integration-server", "--instance", instance),
            *("--result-fd", str(result_fd), "--control-fd", str(control_fd)),
            pass_fds=(result_fd, control_fd),
        )
        os.close(result_fd)
        os.close(control_fd)

    def line(self) -> str:
        """All that is written to the result pipe, until it is closed."""
        with os.fdopen(self.result) as pipe:
            return pipe.read()

    def release(self) -> None:
        os.close(self.control)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def wrappers(project: Project) -> Iterator[list[Wrapper]]:
    """Those a test makes; one that still runs at its end is killed."""
    made: list[Wrapper] = []
    yield made
    for wrapper in made:
        wrapper.process.kill()
        wrapper.process.communicate()


def _query(url: str, sql: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        [(value,)] = connection.execute(sql).fetchall()
        return str(value)


# acceptance: 214, 216
def test_one_line_then_the_end_of_file_and_it_lives_until_the_control_pipe_ends(
    project: Project, wrappers: list[Wrapper]
) -> None:
    wrapper = Wrapper(project, "custom")
    wrappers.append(wrapper)
    line = wrapper.line()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    document = json.loads(line)
    assert list(document) == ["database", "endpoint", "password", "ssl_mode", "user", "url"]
    assert list(document["endpoint"]) == ["host", "port"]
    assert isinstance(document["endpoint"]["port"], int)
    assert document["ssl_mode"] == "disable"
    assert document["url"].startswith("postgres://")
    assert Conninfo.parse_url(document["url"]).to_json() == document
    assert _query(document["url"], "SELECT count(*) FROM item") == "0"
    wrapper.release()
    status, out, err = wrapper.ended()
    assert (status, out) == (0, "")
    assert err.splitlines()[-1].startswith("custom: ready in ")
    assert servers_below(project.cache) == []


# fault: W62
def test_a_byte_on_the_control_pipe_means_nothing(project: Project, wrappers: list[Wrapper]) -> None:
    wrapper = Wrapper(project, "custom")
    wrappers.append(wrapper)
    document = json.loads(wrapper.line())
    os.write(wrapper.control, b"stray")
    with pytest.raises(subprocess.TimeoutExpired):
        wrapper.process.wait(timeout=1.2)
    assert _query(document["url"], "SELECT 1") == "1"
    wrapper.release()
    assert wrapper.ended()[0] == 0


# fault: W62
def test_nothing_it_runs_inherits_the_descriptors(project: Project, wrappers: list[Wrapper]) -> None:
    wrapper = Wrapper(project, "looks")
    wrappers.append(wrapper)
    result, control = (Path(f"/proc/self/fd/{number}").readlink() for number in (wrapper.result, wrapper.control))
    json.loads(wrapper.line())
    seen = (project.directory / "descriptors").read_text()
    assert "->" in seen
    assert str(result) not in seen
    assert str(control) not in seen
    # nor does the server, or whoever keeps it: only the program itself holds the control pipe
    holders = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == control:
                holders.add(int(link.parts[2]))
        except OSError:
            continue
    assert holders == {os.getpid(), wrapper.process.pid}
    wrapper.release()
    assert wrapper.ended()[0] == 0


def test_a_boot_that_fails_writes_nothing(project: Project, wrappers: list[Wrapper]) -> None:
    wrapper = Wrapper(project, "fails")
    wrappers.append(wrapper)
    assert wrapper.line() == ""
    status, out, err = wrapper.ended()
    assert (status, out) == (65, "")
    assert "wrong" in err
    wrapper.release()


def test_an_unknown_instance_writes_nothing(project: Project, wrappers: list[Wrapper]) -> None:
    wrapper = Wrapper(project, "nobody")
    wrappers.append(wrapper)
    assert wrapper.line() == ""
    assert wrapper.ended()[0] == 78
    wrapper.release()


_PARENT = """
import signal, subprocess, sys
server = subprocess.Popen(sys.argv[1:], close_fds=False)
signal.alarm(60)  # if nobody kills it before
signal.pause()
"""


# fault: W62
def test_it_ends_when_its_parent_dies_even_if_others_hold_the_control_pipe(project: Project) -> None:
    result, result_fd = os.pipe()
    control_fd, control = os.pipe()
    parent = project.start(
        *("integration-server", "--instance", "custom"),
        *("--result-fd", str(result_fd), "--control-fd", str(control_fd)),
        program=(sys.executable, "-c", _PARENT, str(Path(sys.executable).with_name("pg-ephemeral"))),
        pass_fds=(result_fd, control_fd),
    )
    os.close(result_fd)
    os.close(control_fd)
    with os.fdopen(result) as pipe:
        url = json.loads(pipe.readline())["url"]
    assert _query(url, "SELECT 1") == "1"
    parent.kill()
    parent.communicate()
    eventually(lambda: servers_below(project.cache) == [], within=15)
    os.close(control)


def test_letting_go_while_it_boots_ends_the_boot(project: Project, wrappers: list[Wrapper]) -> None:
    wrapper = Wrapper(project, "slow")
    wrappers.append(wrapper)
    eventually((project.directory / "began").exists)
    wrapper.release()
    assert wrapper.line() == ""
    assert wrapper.ended()[0] == 143
    assert servers_below(project.cache) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
# acceptance: 216
# fault: W61
def test_a_signal_ends_it_and_its_server(
    project: Project, wrappers: list[Wrapper], number: signal.Signals, status: int
) -> None:
    wrapper = Wrapper(project, "custom")
    wrappers.append(wrapper)
    json.loads(wrapper.line())
    wrapper.process.send_signal(number)
    assert wrapper.ended()[0] == status
    assert servers_below(project.cache) == []
    wrapper.release()


def test_the_result_may_be_stdout_and_the_control_stdin(project: Project) -> None:
    arguments = ("--quiet", "--instance", "custom", "integration-server", "--result-fd", "1", "--control-fd", "0")
    with project.start(*arguments, stdin=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        document = json.loads(running.stdout.read())
        assert _query(document["url"], "SELECT count(*) FROM item") == "0"
        running.stdin.close()
        assert running.wait(timeout=30) == 0
        assert running.stderr.read() == ""
