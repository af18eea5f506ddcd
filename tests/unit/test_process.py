"""The subprocess door: output, status, groups, and what happens to children when we are interrupted or killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pg_ephemeral.errors import ProcessError
from pg_ephemeral.process import Invocation, Prompted, capture, foreground, guarded, watched

ASKS = re.compile(rb"Username:")


def sh(script: str, **options: object) -> Invocation:
    return Invocation(argv=("sh", "-c", script), **options)  # type: ignore[arg-type] # a short test helper


def await_(condition: object, within: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within
    while not condition():  # type: ignore[operator] # any callable
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)


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
    await_(lambda: not alive(int((tmp_path / "pid").read_text())))


CHILD = """
import sys
from pg_ephemeral.process import Invocation, guarded
guarded(Invocation(argv=("sh", "-c", "sleep 300 & echo $! >$0; wait", sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_guarded_program_dies_with_us(tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    ours = subprocess.Popen([sys.executable, "-c", CHILD, str(pid_file)], stderr=subprocess.DEVNULL)
    await_(lambda: pid_file.exists() and pid_file.read_text().strip())
    pid = int(pid_file.read_text())
    assert alive(pid)
    ours.send_signal(number)
    ours.wait()
    await_(lambda: not alive(pid))


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


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody reaps yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# acceptance: 202, 205
def test_a_watched_program_gives_the_end_of_both_streams_and_its_status() -> None:
    much = "head -c 300000 /dev/zero | tr '\\0'"
    done = watched(sh(f"{much} x; echo out; {much} y >&2; echo err >&2; exit 3"), timeout=60, prompt=ASKS)
    assert (done.status, done.stdout[-5:], done.stderr[-5:]) == (3, b"xout\n", b"yerr\n")
    assert len(done.stdout) < 100_000


def test_a_watched_program_that_asks_is_ended_at_once(tmp_path: Path) -> None:
    """Though it neither reads its stdin nor hears signals."""
    script = (
        f"trap '' TERM INT; echo $$ >{tmp_path}/pid; echo 'Log in first.'; printf 'User'; printf 'name: '; sleep 600"
    )
    with pytest.raises(Prompted, match="sh asks, and nobody is there to answer: Username:"):
        watched(sh(script), timeout=600, prompt=ASKS)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_watched_program_has_no_stdin() -> None:
    assert watched(sh("cat; echo end"), timeout=60, prompt=ASKS).stdout == b"end\n"


@pytest.mark.parametrize("script", ["sleep 600", "exec >&- 2>&-; sleep 600"], ids=["silent", "closed"])
def test_a_watched_program_that_takes_too_long_is_ended(script: str, tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"sh did not end within 0\.2 s"):
        watched(sh(f"echo $$ >{tmp_path}/pid; {script}"), timeout=0.2, prompt=ASKS)
    pid = (tmp_path / "pid").read_text().strip() if (tmp_path / "pid").exists() else ""
    assert not pid or not Path(f"/proc/{pid}").exists()


def test_what_a_watched_program_leaves_running_is_ended(tmp_path: Path) -> None:
    watched(sh(f"sleep 600 >/dev/null 2>&1 & echo $! >{tmp_path}/pid"), timeout=60, prompt=ASKS)
    await_(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())


def test_the_stdout_of_a_watched_program_can_be_shown(capfd: pytest.CaptureFixture[str]) -> None:
    watched(sh("echo out; echo err >&2; test -t 1 || echo plain"), timeout=60, prompt=ASKS, show_stdout=True)
    assert capfd.readouterr() == ("", "out\nplain\n")
    watched(sh("echo out"), timeout=60, prompt=ASKS)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_a_watched_program_has_one_as_well() -> None:
    program = (
        "import re, sys; from pg_ephemeral.process import Invocation, watched\n"
        "argv = ('sh', '-c', 'test -t 1 && stty size <&1; echo told >&2')\n"
        "done = watched(Invocation(argv=argv), timeout=60, prompt=re.compile(b'Username:'), show_stdout=True)\n"
        "assert done.stderr == b'told\\n'\n"
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


def test_a_watched_program_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    program = (
        "import re; from pg_ephemeral.process import Invocation, watched\n"
        f"argv = ('sh', '-c', 'echo $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 600')\n"
        "watched(Invocation(argv=argv), timeout=600, prompt=re.compile(b'Username:'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as ours:
        await_((tmp_path / "pid").exists)
        ours.kill()
        ours.wait()
    await_(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())
