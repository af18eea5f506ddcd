"""Commands of engines that take long: followed, limited in time, and ended when they ask for something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.watched import Prompted, watched
from pg_ephemeral.process import Invocation, Overdue
from support.processes import pid_in, wait_until_gone
from support.project import eventually

ASKS = re.compile(rb"Username:")


def sh(script: str) -> Invocation:
    return Invocation(argv=("sh", "-c", script))


# acceptance: 202, 205
def test_the_end_of_both_streams_and_the_status_are_given() -> None:
    much = "head -c 300000 /dev/zero | tr '\\0'"
    done = watched(sh(f"{much} x; echo out; {much} y >&2; echo err >&2; exit 3"), timeout=60, prompt=ASKS)
    assert (done.status, done.stdout[-5:], done.stderr[-5:]) == (3, b"xout\n", b"yerr\n")
    assert len(done.stdout) < 100_000


def test_one_that_asks_is_ended(tmp_path: Path) -> None:
    """Though it neither reads its stdin nor hears signals."""
    script = (
        f"trap '' TERM INT; echo $$ >{tmp_path}/pid; echo 'Log in first.'; printf 'User'; printf 'name: '; sleep 600"
    )
    with pytest.raises(Prompted, match="sh asks, and nobody is there to answer: Username:"):
        watched(sh(script), timeout=600, prompt=ASKS)
    wait_until_gone(pid_in(tmp_path / "pid"))


def test_it_has_no_stdin() -> None:
    assert watched(sh("cat; echo end"), timeout=60, prompt=ASKS).stdout == b"end\n"


@pytest.mark.parametrize("script", ["sleep 600", "exec >&- 2>&-; sleep 600"], ids=["silent", "closed"])
def test_one_that_takes_too_long_is_ended(script: str, tmp_path: Path) -> None:
    with pytest.raises(Overdue, match=r"sh did not end within 2 s"):
        watched(sh(f"echo $$ >{tmp_path}/pid; {script}"), timeout=2, prompt=ASKS)
    wait_until_gone(pid_in(tmp_path / "pid"))


# fault: W35
def test_what_it_prints_can_be_shown_but_for_complaints(capfd: pytest.CaptureFixture[str]) -> None:
    script = "echo out; echo 'Copying blob' >&2; echo 'Error: no' >&2; test -t 1 || echo plain"
    watched(sh(script), timeout=60, prompt=ASKS, shown=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert sorted(captured.err.splitlines()) == ["Copying blob", "out", "plain"]
    watched(sh(script), timeout=60, prompt=ASKS)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_it_has_one_as_well() -> None:
    program = (
        "import re; from pg_ephemeral.backends.engine.watched import watched\n"
        "from pg_ephemeral.process import Invocation\n"
        "argv = ('sh', '-c', 'test -t 1 && stty size <&1; echo Error: told >&2')\n"
        "done = watched(Invocation(argv=argv), timeout=60, prompt=re.compile(b'Username:'), shown=True)\n"
        "assert done.stderr == b'Error: told\\n'\n"
    )
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (33, 77))
    try:
        done = subprocess.run([sys.executable, "-c", program], stderr=theirs, stdout=subprocess.PIPE, timeout=60)
        assert (done.returncode, done.stdout) == (0, b"")
        assert os.read(ours, 1000).split() == [b"33", b"77"]
    finally:
        os.close(theirs)
        os.close(ours)


def test_it_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    program = (
        "import re; from pg_ephemeral.backends.engine.watched import watched\n"
        "from pg_ephemeral.process import Invocation\n"
        f"argv = ('sh', '-c', 'echo $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 600')\n"
        "watched(Invocation(argv=argv), timeout=600, prompt=re.compile(b'Username:'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as ours:
        eventually((tmp_path / "pid").exists)
        ours.kill()
        ours.wait()
    wait_until_gone(pid_in(tmp_path / "pid"))
