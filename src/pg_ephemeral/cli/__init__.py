"""The command line's entry point: run it, say what went wrong, return the exit code. The only place that catches.

Commands live in the modules beside, one for each group of verbs, and are imported when they are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from pg_ephemeral import terminal
from pg_ephemeral.cli import output
from pg_ephemeral.cli.signals import Signals
from pg_ephemeral.cli.tree import PROGRAM, program
from pg_ephemeral.errors import Interrupted, PgEphemeralError

_COMPLETION_VARIABLE = "_PG_EPHEMERAL_COMPLETE"
_USAGE = 2
_SIGINT = 130
#: What a shell reports for a program that SIGPIPE ended.
_SIGPIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (None: ours) and return its exit code.

    What is no error of ours and no usage error is a bug and is raised.
    """
    terminal.complete_descriptors()
    if _COMPLETION_VARIABLE in os.environ:
        program.main(prog_name=PROGRAM, complete_var=_COMPLETION_VARIABLE)
    signals = Signals()
    signals.install()
    status = run(sys.argv[1:] if arguments is None else arguments)
    # A signal may have been caught by clean-up code that must not fail; its exit code holds all the same.
    return signals.exit_code or status


def run(arguments: Sequence[str]) -> int:
    """The same, without touching the process: signals are the caller's business."""
    try:
        return _invoke(list(arguments))
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else PROGRAM
        message = error.format_message().rstrip(".")
        output.failure(message[:1].lower() + message[1:], hint=f"{path} --help")
        return _USAGE
    except (PgEphemeralError, Interrupted) as error:
        output.failure(error.message, detail=error.detail, hint=error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        output.failure("interrupted")
        return _SIGINT
    except BrokenPipeError:
        # Nobody reads our stdout any more, as when it is piped into head(1).
        output.forget_stdout()
        return _SIGPIPE


def _invoke(arguments: list[str]) -> int:
    try:
        with program.make_context(PROGRAM, arguments) as context:
            status = program.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return status if isinstance(status, int) else 0
