"""The integration server: boot for a parent in another language, and end when it lets go of us.

Protocol. The parent makes two pipes and gives us the write end of one (result) and the read end of the other (control)
as inherited descriptors. When the server is ready we write one JSON object and a newline to the result pipe and close
it. We end at the end of file of the control pipe, or when our parent dies; a byte on it means nothing. When booting
fails nothing is written, and our exit code says so.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading

import click

from pg_ephemeral.cli.options import definition_of, instance_option, progress_of
from pg_ephemeral.errors import ProcessError

_FIRST_PRIVATE = 3
_PARENT_LOOK_MILLISECONDS = 500


@click.command("integration-server")
@instance_option
@click.option("--result-fd", type=int, required=True, metavar="N", help="The descriptor to write the connection to.")
@click.option("--control-fd", type=int, required=True, metavar="N", help="The descriptor whose end of file ends us.")
@click.pass_context
def integration_server(context: click.Context, result_fd: int, control_fd: int) -> None:
    """Boot the instance for a test suite in another language.

    Writes the connection as one line of JSON to --result-fd when the server is ready, and ends at the end of file of
    --control-fd, or when the parent process dies.
    """
    from pg_ephemeral.lifecycle import boot

    parent = os.getppid()
    result, control = taken(context, result_fd=result_fd, control_fd=control_fd)
    ready, released = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(control, parent, ready, released), name="control", daemon=True).start()
    with (
        progress_of(context) as progress,
        boot(definition_of(context), progress=progress) as server,
    ):
        ready.set()
        _report(result, server.conninfo.to_json())
        released.wait()


def taken(context: click.Context, *, result_fd: int, control_fd: int) -> tuple[int, int]:
    """Our own copies of both descriptors, which no program we start inherits; the originals are given up.

    Raises ``click.UsageError`` for one that is not open.
    """
    copies = []
    for option, number in (("--result-fd", result_fd), ("--control-fd", control_fd)):
        try:
            copies.append(os.dup(number))
        except OSError as error:
            raise click.UsageError(f"{option} {number}: {error.strerror}", ctx=context) from error
    for number in {result_fd, control_fd}:
        _give_up(number)
    result, control = copies
    return result, control


def _give_up(number: int) -> None:
    if number >= _FIRST_PRIVATE:
        os.close(number)
        return
    # The standard streams stay open, or the next file to be opened would become one.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _report(result: int, document: dict[str, object]) -> None:
    try:
        with os.fdopen(result, "wb") as pipe:
            pipe.write(json.dumps(document).encode() + b"\n")
    except OSError as error:
        raise ProcessError(f"cannot write to --result-fd: {error.strerror}") from error


def _watch(control: int, parent: int, ready: threading.Event, released: threading.Event) -> None:
    """Set ``released`` when the parent lets go; if that is before we are ``ready``, end the boot as a signal would."""
    await_release(control, parent)
    released.set()
    main = threading.main_thread().ident
    if main is not None and not ready.is_set():
        signal.pthread_kill(main, signal.SIGTERM)


def await_release(control: int, parent: int) -> None:
    """Return at the end of file of ``control``, or when ``parent`` is not our parent any more."""
    poll = select.poll()
    poll.register(control, select.POLLIN | select.POLLHUP)
    while os.getppid() == parent:
        if poll.poll(_PARENT_LOOK_MILLISECONDS) and not _read(control):
            return


def _read(control: int) -> bytes:
    try:
        return os.read(control, 4096)
    except BlockingIOError:
        return b"nothing yet"
    except OSError:
        return b""
