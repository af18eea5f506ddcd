"""Commands that boot the instance and run a program against it: psql, run-env, schema-dump, shell, pgbench.

The program owns the terminal, and its exit code is ours. On the embedded backend the three contexts (bare, host,
container) are one: this host.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

from pg_ephemeral import process
from pg_ephemeral.cli import output
from pg_ephemeral.cli.options import definition_of, global_options_of, instance_option
from pg_ephemeral.cli.progress_display import shown_progress
from pg_ephemeral.errors import ProcessError
from pg_ephemeral.process import Invocation
from pg_ephemeral.schema_dump import SchemaDump, settled

if TYPE_CHECKING:
    from pg_ephemeral.server import Server


class PassThrough(click.Command):
    """A command whose arguments, from the first that is no option of ours, are those of the program it runs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ours; keep the rest as it is, dashes and all."""
        return super().parse_args(ctx, separated(args))


def separated(arguments: list[str]) -> list[str]:
    """Put ``--`` where the program's arguments begin, unless the caller did."""
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            return arguments
        if word == "--instance":
            at += 2
        elif word in {"-h", "--help"} or word.startswith("--instance="):
            at += 1
        else:
            break
    return [*arguments[:at], "--", *arguments[at:]]


def _arguments(metavar: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    return click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar=metavar)


@click.command("psql", cls=PassThrough, options_metavar="[--instance NAME]")
@instance_option
@_arguments("[PSQL ARGUMENTS]...")
@click.pass_context
def psql(context: click.Context, arguments: tuple[str, ...]) -> int:
    """Open psql on the instance.

    Further arguments are psql's own: pg-ephemeral psql -c 'SELECT 1'
    """
    with _booted(context) as server:
        return _run(server.tool("psql", *arguments))


@click.command("pgbench", cls=PassThrough, options_metavar="[--instance NAME]")
@instance_option
@_arguments("[PGBENCH ARGUMENTS]...")
@click.pass_context
def pgbench(context: click.Context, arguments: tuple[str, ...]) -> int:
    """Run pgbench on the instance.

    Further arguments are pgbench's own: pg-ephemeral pgbench --initialize
    """
    with _booted(context) as server:
        return _run(server.tool("pgbench", *arguments))


@click.command("run-env", context_settings={"allow_interspersed_args": False})
@instance_option
@click.argument("command")
@_arguments("[ARGUMENTS]...")
@click.pass_context
def run_env(context: click.Context, command: str, arguments: tuple[str, ...]) -> int:
    """Run COMMAND with PG* and DATABASE_URL set, and the server's own programs first on PATH.

    Ends with the exit code of COMMAND; 127 if it is not found, 126 if it cannot be run.
    """
    with _booted(context) as server:
        return _run(Invocation(argv=(command, *arguments), env=server.environment()))


@click.command("shell")
@instance_option
@click.pass_context
def shell(context: click.Context) -> int:
    """Open a shell ($SHELL, or sh) with PG* and DATABASE_URL set."""
    with _booted(context) as server:
        return _run(Invocation(argv=(os.environ.get("SHELL") or "sh",), env=server.environment()))


@click.command("schema-dump")
@instance_option
@click.option("--exclude-schema", multiple=True, metavar="PATTERN", help="Leave these schemas out.")
@click.option("--exclude-table", multiple=True, metavar="PATTERN", help="Leave these tables out.")
@click.option("--no-comments", is_flag=True, help="Leave comments out.")
@click.option("--no-owner", is_flag=True, help="Leave ownership out.")
@click.option("--no-privileges", is_flag=True, help="Leave grants out.")
@click.option("--no-tablespaces", is_flag=True, help="Leave tablespaces out.")
@click.option("--schema", multiple=True, metavar="PATTERN", help="Only these schemas.")
@click.option("--table", multiple=True, metavar="PATTERN", help="Only these tables.")
@click.pass_context
def schema_dump(context: click.Context, /, **parts: Any) -> int:
    """Print the schema as SQL, as pg_dump writes it.

    The text depends on the schema alone: versions and keys that pg_dump adds are left out. Options that take a
    pattern may be repeated.
    """
    wanted = SchemaDump(**parts)
    with tempfile.TemporaryFile() as dump:
        with _booted(context) as server:
            status = _run(server.tool("pg_dump", *wanted.arguments), stdout=dump)
        if status == 0:
            dump.seek(0)
            output.data(settled(dump.read()))
        return status


@contextmanager
def _booted(context: click.Context) -> Iterator[Server]:
    from pg_ephemeral.lifecycle import boot

    with (
        shown_progress(quiet=global_options_of(context).quiet) as progress,
        boot(definition_of(context), progress=progress) as server,
    ):
        yield server


def _run(invocation: Invocation, *, stdout: IO[bytes] | None = None) -> int:
    """Run the wrapped program; one that cannot be started ends us as it would end a shell."""
    try:
        return process.foreground(invocation, stdout=stdout)
    except ProcessError as error:
        if error.status is not None:
            error.exit_code = error.status
        raise
