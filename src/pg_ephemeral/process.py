"""Other programs: what to run, and the three ways of running it. The only module that starts a process.

* ``capture``: a short helper program whose output we read (git, initdb, key commands).
* ``guarded``: a seed's program; its output goes to our stderr, it sits in a process group of its own, and the whole
  group dies with us, even when we are killed with SIGKILL.
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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any, Self

from pg_ephemeral.errors import ProcessError
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
    watched, alive = os.pipe()
    child: subprocess.Popen[bytes] | None = None
    try:
        child = _start_guarded(invocation, watched, stderr=None if line is None else subprocess.PIPE)
        _converse(child, stdin, line)
        return child.wait()
    finally:
        # Without a child, because we were interrupted while it was being made, this alone ends it.
        os.close(alive)
        os.close(watched)
        if child is not None:
            _end_group(child)


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
    with _HandedOn(deaf=deaf) as signals:
        try:
            child = subprocess.Popen(
                invocation.argv, env=invocation.env, cwd=invocation.cwd, stdin=stdin, stdout=stdout
            )
        except OSError as error:
            raise _not_started(invocation, error) from error
        signals.hand_to(child)
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


def ended(child: subprocess.Popen[bytes], *, within: float) -> bool:
    """Whether a child has ended, or does so within that many seconds."""
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def _start_guarded(invocation: Invocation, watched: int, *, stderr: int | None) -> subprocess.Popen[bytes]:
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
            stdout=_diagnostics(),
            stderr=stderr,
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


class _HandedOn:
    """For the block, SIGTERM and SIGHUP go on to a child, and SIGINT is left to the terminal, which tells it itself."""

    def __init__(self, *, deaf: bool = False) -> None:
        #: The number of the first signal.
        self.first: int | None = None
        self._deaf = deaf
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._saved: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        interrupt = self._hand if self._deaf else self._leave
        handlers = {signal.SIGINT: interrupt, signal.SIGTERM: self._hand, signal.SIGHUP: self._hand}
        self._saved = _handle(handlers)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._saved)

    def hand_to(self, child: subprocess.Popen[bytes]) -> None:
        """The child is there; what came while it was being started goes to it, too."""
        self._child = child
        for number in self._early:
            self._tell(child, number)

    def _hand(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        if self._child is None:
            self._early.append(number)
        else:
            self._tell(self._child, number)

    def _tell(self, child: subprocess.Popen[bytes], number: int) -> None:
        child.send_signal(signal.SIGKILL if self._deaf else number)

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        """Do nothing; unlike SIG_IGN, a Python handler is not inherited through exec."""


def _handle(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]]) -> dict[signal.Signals, Any]:
    """Handle these signals so; return what was done about them before, for ``_restore``."""
    saved: dict[signal.Signals, Any] = {}
    for number, handler in handlers.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup(1) means the programs we start as well
        try:
            saved[number] = signal.signal(number, handler)
        except ValueError:
            break  # not the main thread: signals are the caller's own business
    return saved


def _restore(saved: Mapping[signal.Signals, Any]) -> None:
    for number, handler in saved.items():
        signal.signal(number, handler)
