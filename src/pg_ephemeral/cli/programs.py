"""Commands that boot the instance and run a program against it: psql, run-env, schema-dump, shell, pgbench.

The program owns the terminal, and its exit code is ours. Where it runs is the context: beside the server in the
current directory (a bare command), on this host (``host``), or inside the server's container (``container``). On the
embedded backend the three are one: this host.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from pg_ephemeral import process, terminal
from pg_ephemeral.cli import output
from pg_ephemeral.cli.options import definition_of, instance_option, progress_of
from pg_ephemeral.errors import ProcessError
from pg_ephemeral.process import Invocation

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


def program_arguments(metavar: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The arguments of the program that a command runs, taken as they are."""
    return click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar=metavar)


@click.command("psql", cls=PassThrough, options_metavar="[--instance NAME]")
@instance_option
@program_arguments("[PSQL ARGUMENTS]...")
@click.pass_context
def psql(context: click.Context, arguments: tuple[str, ...]) -> int:
    """Open psql on the instance.

    Further arguments are psql's own: pg-ephemeral psql -c 'SELECT 1'
    """
    with _booted(context) as run:
        return run(("psql", *arguments))


@click.command("pgbench", cls=PassThrough, options_metavar="[--instance NAME]")
@instance_option
@program_arguments("[PGBENCH ARGUMENTS]...")
@click.pass_context
def pgbench(context: click.Context, arguments: tuple[str, ...]) -> int:
    """Run pgbench on the instance.

    Further arguments are pgbench's own: pg-ephemeral pgbench --initialize
    """
    with _booted(context) as run:
        return run(("pgbench", *arguments), reads=_where(context) is not Context.CONTAINER)


@click.command("run-env", context_settings={"allow_interspersed_args": False})
@instance_option
@click.argument("command")
@program_arguments("[ARGUMENTS]...")
@click.pass_context
def run_env(context: click.Context, command: str, arguments: tuple[str, ...]) -> int:
    """Run COMMAND with PG* and DATABASE_URL set, and the server's own programs first on PATH.

    Ends with the exit code of COMMAND; 127 if it is not found, 126 if it cannot be run.
    """
    with _booted(context) as run:
        return run((command, *arguments))


@click.command("shell")
@instance_option
@click.pass_context
def shell(context: click.Context) -> int:
    """Open a shell with PG* and DATABASE_URL set: sh in a container, $SHELL on this host."""
    with _booted(context) as run:
        return run(("sh",) if run.in_container else (os.environ.get("SHELL") or "sh",))


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
    from pg_ephemeral.schema_dump import SchemaDump, settled

    wanted = SchemaDump(**parts)
    with tempfile.TemporaryFile() as dump:
        with _booted(context) as run:
            status = run(("pg_dump", *wanted.arguments), stdout=dump)
        if status == 0:
            dump.seek(0)
            output.data(settled(dump.read()))
        return status


class Context(Enum):
    """Where a program runs."""

    BARE = "beside the server, in the current directory"
    HOST = "on this host"
    CONTAINER = "inside the server's container"


class _Runner:
    """Runs programs of one context against one server."""

    def __init__(self, server: Server, where: Context, *, directory: Path | None) -> None:
        self._server = server
        self._where = where
        self._directory = directory

    @property
    def in_container(self) -> bool:
        """Whether they run in a container."""
        return self._server.contained and self._where is not Context.HOST

    def __call__(self, argv: tuple[str, ...], *, stdout: IO[bytes] | None = None, reads: bool = True) -> int:
        """Run to the end and return the exit code; one that cannot be started ends us as it would end a shell.

        Our standard input is for whoever comes after a program that does not read it, or whose output is captured.
        """
        reads = reads and stdout is None
        try:
            invocation = self._invocation(argv, tty=reads and terminal.is_ours())
            with Path(os.devnull).open("rb") as nothing:
                stdin = None if reads else nothing
                return process.foreground(invocation, stdin=stdin, stdout=stdout, deaf=self.in_container)
        except ProcessError as error:
            if error.status is not None:
                error.exit_code = error.status
            raise

    def _invocation(self, argv: tuple[str, ...], *, tty: bool) -> Invocation:
        if not self.in_container:
            environment = self._server.environment()
            if shutil.which(argv[0], path=environment["PATH"]) is None and argv[0] in _CLIENTS:
                raise ProcessError(
                    f"cannot run {argv[0]}: No such file or directory",
                    status=127,
                    hint=f"without host before it, {argv[0]} is taken from the image",
                )
            return self._server.program(argv) if not self._server.contained else Invocation(argv=argv, env=environment)
        # By way of a shell, which tells a program that is not there as shells do; engines have numbers of their own for
        # that, and some say why on stdout.
        return self._server.program(("sh", "-c", 'exec "$@"', "sh", *argv), directory=self._directory, tty=tty)


_CLIENTS = frozenset({"psql", "pgbench", "pg_dump"})


@contextmanager
def _booted(context: click.Context) -> Iterator[_Runner]:
    from pg_ephemeral.config import working_directory
    from pg_ephemeral.lifecycle import boot

    where = _where(context)
    here = working_directory() if where is Context.BARE else None
    with (
        progress_of(context) as progress,
        boot(
            definition_of(context),
            directories=[here] if here else [],
            own_network=where is not Context.HOST,
            progress=progress,
        ) as server,
    ):
        yield _Runner(server, where, directory=here)


def _where(context: click.Context) -> Context:
    group = context.parent.info_name if context.parent is not None else None
    return {"host": Context.HOST, "container": Context.CONTAINER}.get(group or "", Context.BARE)
