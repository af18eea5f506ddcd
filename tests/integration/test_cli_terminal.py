"""The command line on a real terminal: progress that disturbs nobody, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import servers_below
from support.project import PROGRAM, Project
from support.terminal import Terminal

pytestmark = pytest.mark.needs("embedded")

_SLOW = """
[instances.main.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE item (id integer)"

[instances.main.seeds.slow]
type = "script"
script = "printf 'half a line '; sleep 1; echo and the rest; echo more"

[instances.endless.seeds.endless]
type = "script"
script = "echo began; sleep 300"

[instances.empty]
image = "latest"
"""

_INTERRUPT = b"\x03"

#: Makes the terminal on stdin the one that its keys act on, as a login does.
_OPENER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def project(tmp_path: Path, cache_directory: Path) -> Project:
    project = Project(directory=tmp_path, cache=cache_directory, environment={"TERM": "xterm", "NO_COLOR": ""})
    project.write(database_toml=_SLOW)
    return project


class Session:
    """A program that has a terminal of its own; ``text`` is all it wrote there so far."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        opener = (sys.executable, "-c", _OPENER, *PROGRAM)
        self.process = project.start(
            *arguments, program=opener, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, condition: Callable[[str], object]) -> None:
        while not condition(self.text):
            assert self._read(), f"it ended with only: {self.text!r}"

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def end(self) -> int:
        while self._read():
            pass
        return self.process.wait(timeout=30)

    def _read(self) -> bool:
        try:
            chunk = os.read(self.ours, 65536)
        except OSError:  # Linux says so when nobody has the other end open
            return False
        self.text += chunk.decode()
        return bool(chunk)

    def close(self) -> None:
        os.close(self.ours)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def open_session(project: Project) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def open_(*arguments: str) -> Session:
        sessions.append(Session(project, *arguments))
        return sessions[-1]

    yield open_
    for session in sessions:
        session.close()


def test_the_seconds_are_counted_and_what_seeds_write_is_kept(open_session: Callable[..., Session]) -> None:
    session = open_session("run-env", "echo", "data")
    assert session.end() == 0
    assert "[2/2] slow (script)  " in session.text, "the status line was drawn"
    terminal = Terminal(columns=81, lines=24)
    terminal.write(session.text)
    assert terminal.margins == (0, 23), "the terminal scrolls as before"
    shown = terminal.screen()
    durations = [line.rpartition(" in ")[0] for line in shown]
    assert "half a line and the rest" in shown
    assert "more" in shown
    assert "[1/2] schema built" in durations
    assert "[2/2] slow built" in durations
    assert not any("(script)" in line for line in shown), "the status line is gone"
    assert shown[-1] == "data"


@pytest.mark.parametrize(
    ("variable", "value", "colours"), [("NO_COLOR", "1", False), ("TERM", "dumb", False), ("NO_COLOR", "", True)]
)
def test_colours_may_be_turned_off(
    project: Project, open_session: Callable[..., Session], variable: str, value: str, colours: bool
) -> None:
    project.environment |= {variable: value}
    session = open_session("--bogus")
    assert session.end() == 2
    assert ("\x1b[" in session.text) is colours


# fault: W25
def test_ctrl_c_while_a_seed_runs(project: Project, open_session: Callable[..., Session]) -> None:
    session = open_session("--instance", "endless", "run-env", "true")
    session.read_until(lambda text: "began" in text)
    session.type(_INTERRUPT)
    assert session.end() == 130
    assert "error: \x1b[0minterrupted" in session.text or "error:\x1b[0m interrupted" in session.text
    assert servers_below(project.cache) == []
    assert list((project.cache / "embedded" / "v1" / "run").glob("*")) == []


def test_ctrl_c_belongs_to_the_program(open_session: Callable[..., Session]) -> None:
    script = "trap 'echo caught; exit 7' INT; echo waiting; while :; do sleep 0.1; done"
    session = open_session("--instance", "empty", "run-env", "sh", "-c", script)
    session.read_until(lambda text: "waiting" in text)
    session.type(_INTERRUPT)
    assert session.end() == 7
    assert "caught" in session.text


def test_the_program_has_the_terminal(open_session: Callable[..., Session]) -> None:
    session = open_session("--quiet", "--instance", "empty", "psql", "-X")
    session.read_until(lambda text: "postgres=#" in text)
    session.type(b"\\q\n")
    assert session.end() == 0


def test_a_program_started_with_nohup_keeps_ignoring_the_hangup(project: Project) -> None:
    script = "kill -HUP $$ $PPID; sleep 0.1; echo on"
    arguments = ("--quiet", "--instance", "empty", "run-env", "sh", "-c", script)
    done = project.run(*arguments, program=("nohup", *PROGRAM))
    assert (done.returncode, done.stdout) == (0, "on\n")
