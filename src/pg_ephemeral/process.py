"""Other programs: what to run, and the three ways of running it. The only module that starts a process.

* ``capture``: a short helper program whose output we read (git, initdb, key commands).
* ``guarded``: a seed's program; its output goes to our stderr, it sits in a process group of its own, and the whole
  group dies with us, even when we are killed with SIGKILL.
* ``foreground``: the program the user asked us to wrap; it owns the terminal and its exit code is passed through.

Long-lived children (the keeper of a PostgreSQL server) are started with ``spawn``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from pg_ephemeral.errors import ProcessError

#: Waits on descriptor 0 until its writer is gone, then kills the process group $1. It holds nothing else open.
_GROUP_GUARD = 'read -r _; kill -KILL "-$1" 2>/dev/null'

_TERMINATE_GRACE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A program to run. ``env`` is its whole environment (None: ours), ``cwd`` its directory (None: ours)."""

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: Path | None = None

    @property
    def program(self) -> str:
        """The name errors use."""
        return self.argv[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a captured program did. A status below zero is the negated number of the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def message(self) -> str:
        """Its stderr as text, trimmed."""
        return self.stderr.decode(errors="replace").strip()


def status_text(status: int) -> str:
    """A status for people: ``exit status 3``, or ``killed by SIGTERM``."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def capture(
    invocation: Invocation,
    *,
    stdin: bytes | None = None,
    timeout: float | None = None,
    show_stderr: bool = False,
) -> Completed:
    """Run to the end and return its output, whatever its status; ``timeout`` is in seconds.

    With ``show_stderr``, that stream is not captured but goes to ours. Raises ``ProcessError`` when the program cannot
    be started or does not end in time.
    """
    try:
        done = subprocess.run(
            invocation.argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=_diagnostics() if show_stderr else subprocess.PIPE,
            env=invocation.env,
            cwd=invocation.cwd,
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        raise _not_started(invocation, error) from error
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{invocation.program} did not end within {timeout:g} s") from error
    return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr or b"")


def guarded(
    invocation: Invocation,
    *,
    stdin: Iterable[bytes] = (),
    line: Callable[[bytes], None] | None = None,
) -> int:
    """Run a seed's program to its end and return its status (negative: the signal that ended it).

    Its stdin is fed from ``stdin``, then closed. Its stdout goes to our stderr, for our stdout carries only data. Its
    stderr does too, unless ``line`` is given, which then gets each line of it. Nothing of its process group outlives
    the call, however it ends, an interrupt included.
    """
    stderr = subprocess.PIPE if line is not None else None
    try:
        child = subprocess.Popen(
            invocation.argv,
            stdin=subprocess.PIPE,
            stdout=_diagnostics(),
            stderr=stderr,
            env=invocation.env,
            cwd=invocation.cwd,
            process_group=0,
        )
    except OSError as error:
        raise _not_started(invocation, error) from error
    with _group_guard(child.pid):
        try:
            _converse(child, stdin, line)
            return child.wait()
        finally:
            _end_group(child)


def foreground(invocation: Invocation, *, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None) -> int:
    """Run the wrapped program on our terminal and return the exit code a shell would report.

    While it runs, SIGINT is its business alone (the terminal sends it to both of us), and SIGTERM and SIGHUP are
    handed on to it; we end when it does.
    """
    with _deferred_signals() as forward:
        try:
            child = subprocess.Popen(
                invocation.argv, env=invocation.env, cwd=invocation.cwd, stdin=stdin, stdout=stdout
            )
        except OSError as error:
            raise _not_started(invocation, error) from error
        forward.append(child)
        status = child.wait()
    return 128 - status if status < 0 else status


def spawn(
    invocation: Invocation,
    *,
    user: int | None = None,
    group: int | None = None,
    stderr: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a long-lived child in a session of its own, with pipes on its stdin and stdout.

    ``user`` and ``group`` are ids to run as; only root may ask for them. Its stderr is dropped unless it is given a
    file. Raises ``ProcessError``.
    """
    try:
        return subprocess.Popen(
            invocation.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if stderr is None else stderr,
            env=invocation.env,
            cwd=invocation.cwd,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )
    except OSError as error:
        raise _not_started(invocation, error) from error


def _not_started(invocation: Invocation, error: OSError) -> ProcessError:
    reason = error.strerror or str(error)
    missing = isinstance(error, FileNotFoundError)
    # 127 and 126 are what a shell reports for a command it cannot find, or cannot run.
    return ProcessError(
        f"cannot run {invocation.program}: {reason}",
        status=127 if missing else 126,
        hint="is it installed, and on PATH?" if missing else None,
    )


def _diagnostics() -> int:
    """The descriptor for output that is not data: our stderr, or nowhere when we have none."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


def _converse(child: subprocess.Popen[bytes], stdin: Iterable[bytes], line: Callable[[bytes], None] | None) -> None:
    """Feed stdin from a thread while reading stderr here, so that neither side can block the other."""
    import threading

    failure: list[BaseException] = []

    def feed() -> None:
        assert child.stdin is not None  # noqa: S101 -- we asked for the pipe
        try:
            with child.stdin as pipe:
                for chunk in stdin:
                    pipe.write(chunk)
        except BrokenPipeError:
            pass  # it stopped reading: its exit status says why
        except BaseException as error:  # noqa: BLE001 -- carried to the caller's thread below
            failure.append(error)

    feeder = threading.Thread(target=feed, name="stdin", daemon=True)
    feeder.start()
    if child.stderr is not None and line is not None:
        with child.stderr as pipe:
            for text in pipe:
                line(text)
    child.wait()
    feeder.join()
    if failure:
        raise failure[0]


@contextmanager
def _group_guard(group: int) -> Iterator[None]:
    guard = subprocess.Popen(
        ("sh", "-c", _GROUP_GUARD, "pg-ephemeral-guard", str(group)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # The guard goes first: closing its pipe while it lives would make it kill a group that may be gone.
        guard.kill()
        guard.wait()
        assert guard.stdin is not None  # noqa: S101 -- we asked for the pipe
        guard.stdin.close()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End the program if it still runs, gently first, and whatever it left running in its group."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_TERMINATE_GRACE)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    # macOS answers EPERM for a group whose members are all zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextmanager
def _deferred_signals() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Pass SIGTERM and SIGHUP on to the children listed, and leave SIGINT to the terminal, for the block."""
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    def leave(_number: int, _frame: FrameType | None) -> None:
        """Do nothing; unlike SIG_IGN, a Python handler is not inherited through exec."""

    saved = {}
    try:
        for number, handler in ((signal.SIGINT, leave), (signal.SIGTERM, forward), (signal.SIGHUP, forward)):
            try:
                saved[number] = signal.signal(number, handler)
            except ValueError:
                break  # not the main thread: signals are the caller's own business
        yield children
    finally:
        for number, old in saved.items():
            signal.signal(number, old)
