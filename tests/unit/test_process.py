"""The subprocess door: output, status, groups, and what happens to children when we are interrupted or killed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from pg_ephemeral.errors import ProcessError
from pg_ephemeral.process import Invocation, Overdue, capture, foreground, guarded
from support.processes import alive, pid_in, wait_until_gone


def sh(script: str, **options: object) -> Invocation:
    return Invocation(argv=("sh", "-c", script), **options)  # type: ignore[arg-type] # a short test helper


# acceptance: 202, 205
def test_capture_gives_both_streams_and_the_status() -> None:
    done = capture(sh("echo out; echo err >&2; exit 3"))
    assert (done.status, done.stdout, done.stderr, done.message) == (3, b"out\n", b"err\n", "err")


# acceptance: 204
def test_capture_delivers_stdin() -> None:
    assert capture(sh("cat"), stdin=b"data").stdout == b"data"
    assert capture(sh("cat")).stdout == b"", "without stdin there is none, not ours"


# acceptance: 202, 203
@pytest.mark.parametrize("run", [capture, guarded, foreground])
def test_a_missing_program_is_named(run: object) -> None:
    with pytest.raises(ProcessError, match="no-such-program") as caught:
        run(Invocation(argv=("no-such-program",)))  # type: ignore[operator] # each of the three
    assert caught.value.status == 127


def test_a_program_that_may_not_run_is_126(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with pytest.raises(ProcessError) as caught:
        foreground(Invocation(argv=(str(tmp_path / "plain"),)))
    assert caught.value.status == 126


def test_capture_ends_a_program_that_takes_too_long() -> None:
    with pytest.raises(ProcessError, match=r"within 0\.2 s"):
        capture(Invocation(argv=("sleep", "60")), timeout=0.2)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 5", 5), ("kill -TERM $$", 143)])
def test_foreground_reports_as_a_shell_does(script: str, code: int) -> None:
    assert foreground(sh(script)) == code


def test_guarded_streams_stdin_and_lines() -> None:
    lines: list[bytes] = []
    chunks = (b"%d\n" % number for number in range(100_000))
    status = guarded(sh("wc -l >&2; exit 4"), stdin=chunks, line=lines.append)
    assert (status, b"".join(lines).strip()) == (4, b"100000")


def test_guarded_keeps_our_stdout_clean(capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(sh("echo said")) == 0
    assert capfd.readouterr() == ("", "said\n")


def test_guarded_survives_a_program_that_does_not_read() -> None:
    assert guarded(sh("exit 7"), stdin=(b"x" * 65536 for _ in range(100))) == 7


def test_guarded_raises_what_the_source_of_stdin_raises() -> None:
    def broken() -> object:
        yield b"some"
        raise ValueError("the file changed")

    with pytest.raises(ValueError, match="the file changed"):
        guarded(sh("cat >/dev/null"), stdin=broken())  # type: ignore[arg-type] # a generator of bytes


def test_guarded_leaves_no_background_job_behind(tmp_path: Path) -> None:
    assert guarded(sh(f"sleep 300 & echo $! >{tmp_path}/pid")) == 0
    wait_until_gone(pid_in(tmp_path / "pid"))


def test_guarded_does_not_wait_for_who_else_has_the_programs_streams(tmp_path: Path) -> None:
    lines: list[bytes] = []
    out: list[bytes] = []
    script = f"echo out; echo said >&2; printf unended >&2; sleep 300 & echo $! >{tmp_path}/pid"
    assert guarded(sh(script), line=lines.append, stdout=out.append) == 0
    assert (b"".join(out), lines) == (b"out\n", [b"said\n", b"unended"])
    wait_until_gone(pid_in(tmp_path / "pid"))


def test_nor_for_one_that_left_the_group(tmp_path: Path) -> None:
    lines: list[bytes] = []
    leaves = f"import os, signal; os.setsid(); open('{tmp_path}/pid', 'w').write(str(os.getpid())); signal.pause()"
    script = f'"{sys.executable}" -c "{leaves}" & while [ ! -s {tmp_path}/pid ]; do :; done; echo said >&2'
    try:
        assert guarded(sh(script), stdin=(b"x" * 65536 for _ in range(9)), line=lines.append) == 0
        assert lines == [b"said\n"]
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_guarded_ends_what_takes_too_long(tmp_path: Path) -> None:
    with pytest.raises(Overdue, match=r"^sh did not end within 0\.2 s$"):
        guarded(sh(f"sleep 300 & echo $! >{tmp_path}/pid; wait"), timeout=0.2)
    wait_until_gone(pid_in(tmp_path / "pid"))
    assert guarded(sh("exit 3"), timeout=20) == 3


def test_guarded_gives_lines_of_any_length() -> None:
    lines: list[bytes] = []
    script = "head -c 300000 /dev/zero >&2; printf '\\r\\n\\nlast\\n' >&2"
    assert guarded(sh(script), line=lines.append) == 0
    assert [len(line) for line in lines] == [300_002, 1, 5]


CHILD = """
import sys
from pg_ephemeral.process import Invocation, guarded
guarded(Invocation(argv=("sh", "-c", "sleep 300 & echo $! >$0; wait", sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_guarded_program_dies_with_us(tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    ours = subprocess.Popen([sys.executable, "-c", CHILD, str(pid_file)], stderr=subprocess.DEVNULL)
    pid = pid_in(pid_file)
    assert alive(pid)
    ours.send_signal(number)
    ours.wait()
    wait_until_gone(pid)


@pytest.mark.parametrize(("end", "as_before"), [("kill -KILL $$", True), ("exit 0", False)])
def test_a_program_that_is_killed_leaves_the_terminal_as_it_was(end: str, as_before: bool) -> None:
    """And one that is not leaves it as it likes: that may be what it is for."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(ours)
    script = f"stty raw -echo; stty; {end}"
    done = subprocess.run(
        [sys.executable, "-c", WRAPPER, script], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    assert "-icanon" in done.stdout
    assert (termios.tcgetattr(ours) == before) is as_before
    os.close(ours)
    os.close(theirs)


WRAPPER = """
import sys
from pg_ephemeral.process import Invocation, foreground
sys.exit(foreground(Invocation(argv=("sh", "-c", sys.argv[1]))))
"""


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP")])
def test_a_wrapped_program_is_handed_our_signal_and_its_code_is_ours(number: signal.Signals, word: str) -> None:
    script = f"trap 'exit 42' {word}; echo ready; while :; do sleep 0.05; done"
    ours = subprocess.Popen([sys.executable, "-c", WRAPPER, script], stdout=subprocess.PIPE)
    assert ours.stdout is not None
    assert ours.stdout.readline() == b"ready\n"
    ours.send_signal(number)
    assert ours.wait(20) == 42
    ours.stdout.close()


def test_an_interrupt_from_the_terminal_is_the_wrapped_programs_business() -> None:
    script = "trap 'exit 17' INT; echo ready; while :; do sleep 0.05; done"
    ours = subprocess.Popen([sys.executable, "-c", WRAPPER, script], stdout=subprocess.PIPE, process_group=0)
    assert ours.stdout is not None
    assert ours.stdout.readline() == b"ready\n"
    os.killpg(ours.pid, signal.SIGINT)
    assert ours.wait(20) == 17
    ours.stdout.close()
