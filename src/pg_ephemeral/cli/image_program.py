"""``bin``: run a program of the image, without a server."""

from __future__ import annotations

import click

from pg_ephemeral import process
from pg_ephemeral.cli.options import instance_option, some_definition_of
from pg_ephemeral.cli.programs import program_arguments
from pg_ephemeral.errors import ProcessError


@click.command("bin", context_settings={"allow_interspersed_args": False})
@instance_option
@click.argument("command")
@program_arguments("[ARGUMENTS]...")
@click.pass_context
def run(context: click.Context, command: str, arguments: tuple[str, ...]) -> int:
    """Run COMMAND of the instance's image in this directory, as you, with your PG* variables; no server is started.

    With the embedded backend it is a program of the installed PostgreSQL, or else of this host.
    """
    from pg_ephemeral.backends.select import select
    from pg_ephemeral.config import working_directory

    here = working_directory()
    backend = select(some_definition_of(context))
    try:
        with backend.tool((command, *arguments), directory=here) as invocation:
            return process.foreground(invocation, deaf=backend.builds)
    except ProcessError as error:
        if error.status is not None:
            error.exit_code = error.status
        raise
