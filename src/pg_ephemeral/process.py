"""Other programs: what to run, and the three ways of running it. The only module that starts a process.

* ``capture``: a short helper program whose output we read (git, initdb); ``Begun``, if we go on meanwhile.
* ``guarded``: a program of the user's that stands for a seed or its key; it sits in a process group of its own, and the
  whole group dies with it and with us, even when we are killed with SIGKILL.
* ``foreground``: the program the user asked us to wrap; it owns the terminal and its exit code is passed through.

Long-lived children (the keeper of a PostgreSQL server) are started with ``spawn``.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from msgspec import Struct

from pg_ephemeral.errors import ProcessError
from pg_ephemeral.pipes import Input, Output, Take, converse, drain
from pg_ephemeral.relay import Relay
from pg_ephemeral.terminal import Modes

#: Leaves a guard in the program's process group, which kills the group when the writer of pipe $1 is gone, and becomes
#: the program. The guard holds none of the program's own streams.
_GUARD = '(read -r _; kill -KILL 0) <"/dev/fd/$1" >/dev/null 2>&1 & shift; exec "$@"'

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


class Completed(Struct, frozen=True, kw_only=True):
    """What a captured program did. A status below zero is the negated number of the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def message(self) -> str:
        """Its stderr as text, trimmed."""
        return self.stderr.decode(errors="replace").strip()


class Overdue(ProcessError):
    """A program had not ended when its time was over."""


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
) -> Completed:
    """Run to the end and return its output, whatever its status; ``timeout`` is in seconds.

    Raises ``ProcessError`` when the program cannot be started, ``Overdue`` when it does not end in time.
    """
    return Begun(invocation, stdin=stdin).completed(timeout=timeout)


class Begun:
    """A short helper program that runs beside what we do until we want its output."""

    def __init__(self, invocation: Invocation, *, stdin: bytes | None = None) -> None:
        """Start it. Raises ``ProcessError`` when that cannot be done."""
        self._invocation = invocation
        self._stdin = stdin
        try:
            self._child = subprocess.Popen(
                invocation.argv,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=invocation.env,
                cwd=invocation.cwd,
            )
        except OSError as error:
            raise _not_started(invocation, error) from error

    def completed(self, *, timeout: float | None = None) -> Completed:
        """Wait for its end. Raises ``Overdue`` when that has not come after ``timeout`` seconds; then it is killed."""
        with self._child as child:
            try:
                stdout, stderr = child.communicate(self._stdin, timeout=timeout)
            except BaseException as error:
                child.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise Overdue(f"{self._invocation.program} did not end within {timeout:g} s") from error
                raise
        return Completed(status=child.returncode, stdout=stdout, stderr=stderr)


def guarded(
    invocation: Invocation,
    *,
    stdin: Iterable[bytes] = (),
    stdout: Take | None = None,
    line: Take | None = None,
    timeout: float | None = None,
    terminal: bool = False,
) -> int:
    """Run a program of the user's to its end and return its status (negative: the signal that ended it).

    Its stdin is fed from ``stdin``, then closed. Its stdout goes to our stderr, for our stdout carries only data; or to
    ``stdout``, piece by piece, and with ``terminal`` by way of a terminal like ours, if we have one. Its stderr goes
    there, too, unless ``line`` is given, which then gets each line of it. What these raise ends it and goes through.
    Nothing of its process group outlives the call, however it ends, an interrupt included. Raises ``Overdue`` when it
    has not ended after ``timeout`` seconds.
    """
    watched, alive = os.pipe()
    ours, theirs = (None, None) if stdout is None else _output_pipe(terminal=terminal)
    child: subprocess.Popen[bytes] | None = None
    try:
        try:
            child = _start_guarded(invocation, watched, stdout=theirs, stderr=line is not None)
        finally:
            if theirs is not None:
                os.close(theirs)
        status = _converse(child, stdin, _taken(ours, stdout), line, timeout)
    finally:
        # Without a child, because we were interrupted while it was being made, this alone ends it.
        os.close(alive)
        os.close(watched)
        if child is not None:
            _end_group(child)
        for pipe in (ours, *((child.stdin, child.stderr) if child is not None else ())):
            if pipe is not None:
                pipe.close()
    if status is None:
        raise Overdue(f"{invocation.program} did not end within {timeout:g} s")
    return status


def foreground(
    invocation: Invocation,
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    deaf: bool = False,
) -> int:
    """Run the wrapped program on our terminal and return the exit code a shell would report.

    While it runs, SIGINT is its business alone (the terminal sends it to both of us), and SIGTERM and SIGHUP are
    handed on to it; we end when it does. One that is killed leaves the terminal as it was. ``deaf``: it stands for a
    program elsewhere, which may never hear of a signal; then the first that we get ends it, and is what our exit code
    says.
    """
    modes = Modes()
    with Relay(deaf=deaf) as signals:
        try:
            child = subprocess.Popen(
                invocation.argv, env=invocation.env, cwd=invocation.cwd, stdin=stdin, stdout=stdout
            )
        except OSError as error:
            raise _not_started(invocation, error) from error
        signals.hand_to(child.send_signal)
        status = child.wait()
    if status < 0 or signals.first is not None:
        modes.restore()
    if deaf and signals.first is not None:
        return 128 + signals.first
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


def show(printed: bytes) -> None:
    """Write what a program printed to our stderr, if we have one that takes it."""
    number = _diagnostics()
    if number >= 0:
        with suppress(OSError):
            os.write(number, printed)


def _output_pipe(*, terminal: bool) -> tuple[IO[bytes], int]:
    """For a program's stdout: a pipe, our end first; or a terminal like ours if that is wanted and we have one."""
    if not terminal or not _diagnostics_is_terminal():
        ours, theirs = os.pipe()
    else:
        import termios

        ours, theirs = os.openpty()
        with suppress(OSError):
            termios.tcsetwinsize(theirs, termios.tcgetwinsize(_diagnostics()))
    return os.fdopen(ours, "rb", buffering=0), theirs


def _taken(pipe: IO[bytes] | None, take: Take | None) -> tuple[Output, ...]:
    return () if pipe is None or take is None else (Output(pipe, take),)


def ended(child: subprocess.Popen[bytes], *, within: float) -> bool:
    """Whether a child has ended, or does so within that many seconds."""
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def _start_guarded(
    invocation: Invocation, watched: int, *, stdout: int | None, stderr: bool
) -> subprocess.Popen[bytes]:
    path = None if invocation.env is None else invocation.env.get("PATH")
    if shutil.which(invocation.program, path=path) is None:
        # The shell that becomes the program would say so, but not to us.
        absent = not Path(invocation.program).exists()
        number = errno.ENOENT if absent else errno.EACCES
        raise _not_started(invocation, OSError(number, os.strerror(number)))
    try:
        return subprocess.Popen(
            ("sh", "-c", _GUARD, "pg-ephemeral-guard", str(watched), *invocation.argv),
            stdin=subprocess.PIPE,
            stdout=_diagnostics() if stdout is None else stdout,
            stderr=subprocess.PIPE if stderr else None,
            env=invocation.env,
            cwd=invocation.cwd,
            process_group=0,
            pass_fds=(watched,),
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


def _diagnostics_is_terminal() -> bool:
    number = _diagnostics()
    return number >= 0 and os.isatty(number)


def _converse(
    child: subprocess.Popen[bytes],
    stdin: Iterable[bytes],
    taken: tuple[Output, ...],
    line: Take | None,
    timeout: float | None,
) -> int | None:
    """Feed stdin and take what comes until the child, not whoever else has its streams, has ended; its status.

    None when it has not ended in time.
    """
    assert child.stdin is not None  # noqa: S101 -- we asked for the pipe
    outputs = [*taken]
    if child.stderr is not None and line is not None:
        outputs.append(Output(child.stderr, line, by_lines=True))
    ended = _end_of(child)
    try:
        if not converse(Input(child.stdin, stdin), outputs, until=ended, within=timeout):
            return None
    finally:
        os.close(ended)
    # What it left running could go on writing for good.
    _signal_group(child.pid, signal.SIGKILL)
    drain(outputs)
    return child.wait()


def _end_of(child: subprocess.Popen[bytes]) -> int:
    """A descriptor that has something to read when the child has ended."""
    import threading

    ended, held = os.pipe()

    def wait() -> None:
        child.wait()
        # A word, for the end alone would not come as long as somebody who was forked meanwhile holds it, too.
        with suppress(BrokenPipeError):
            os.write(held, b".")
        os.close(held)

    threading.Thread(target=wait, name="end of a program", daemon=True).start()
    return ended


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
