"""The tree of commands: names, summaries and groups. It imports no command, and does nothing itself."""

from __future__ import annotations

from typing import Any

import click

from pg_ephemeral.cli.lazy import Entry, LazyGroup
from pg_ephemeral.cli.options import GlobalOptions, global_options, instance_option
from pg_ephemeral.version import VERSION

PROGRAM = "pg-ephemeral"

_HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

_CONTEXTS = """\b
Where programs run:
  pg-ephemeral psql             beside the server, in the current directory
  pg-ephemeral host psql        on this host
  pg-ephemeral container psql   inside the server's container
With the embedded backend there is no container: all three run on this host,
with the server's own programs first on PATH.

Commands use the instance main unless --instance names another; it may stand before or after the command."""


def _entry(module: str, attribute: str, summary: str) -> Entry:
    return Entry(module=f"pg_ephemeral.cli.{module}", attribute=attribute, summary=summary)


_PROGRAMS = {
    "psql": _entry("programs", "psql", "Open psql on the instance."),
    "run-env": _entry("programs", "run_env", "Run a command with PG* and DATABASE_URL set."),
    "schema-dump": _entry("programs", "schema_dump", "Print the schema as SQL."),
    "shell": _entry("programs", "shell", "Open a shell with PG* and DATABASE_URL set."),
    "pgbench": _entry("programs", "pgbench", "Run pgbench on the instance."),
}


@click.group(
    PROGRAM,
    cls=LazyGroup,
    table={
        "bin": _entry("image_program", "run", "Run a program of the image, without a server."),
        "cache": _entry("tree", "cache", "Look at, fill and empty the cache of stages."),
        "container": _entry("tree", "container", "Run a program inside the server's container."),
        "host": _entry("tree", "host", "Run a program on this host."),
        "integration-server": _entry("integration", "integration_server", "Serve a test suite in another language."),
        "list": _entry("about", "list_instances", "List the instances."),
        "meta": _entry("tree", "meta", "Facts about this installation."),
        "platform": _entry("tree", "platform", "Facts about this platform."),
        "prune": _entry("prune", "prune", "Remove what killed runs left behind."),
        **dict(sorted(_PROGRAMS.items())),
    },
    context_settings=_HELP_OPTIONS,
    invoke_without_command=True,
    no_args_is_help=False,
    epilog=_CONTEXTS,
)
@global_options
@click.version_option(VERSION, "-V", "--version", prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context, /, **options: Any) -> int | None:
    """Your seeded PostgreSQL, ready in milliseconds; gone when the command ends.

    Without a command, opens psql on the instance main.
    """
    context.obj = GlobalOptions(**options)
    if context.obj.config_file is not None and context.obj.no_config_file:
        raise click.UsageError("--config-file and --no-config-file contradict each other", ctx=context)
    if context.invoked_subcommand is None:
        status: int = context.invoke(_PROGRAMS["psql"].load(), arguments=())
        return status
    return None


@click.group("host", cls=LazyGroup, table=_PROGRAMS, no_args_is_help=False)
@instance_option
def host() -> None:
    """Run a program on this host, connected to the instance by TCP."""


@click.group("container", cls=LazyGroup, table=_PROGRAMS, no_args_is_help=False)
@instance_option
def container() -> None:
    """Run a program inside the server's container; with the embedded backend, on this host."""


@click.group(
    "cache",
    cls=LazyGroup,
    table={
        "status": _entry("cache", "status", "Show which seeds are cached."),
        "populate": _entry("cache", "populate", "Build the stages that are missing."),
        "pull": _entry("cache_sharing", "pull", "Fetch the newest stage that the registry has."),
        "push": _entry("cache_sharing", "push", "Send the stages that are here to the registry."),
        "sync": _entry("cache_sharing", "sync", "Pull, populate and push: what a CI job needs."),
        "reset": _entry("cache", "reset", "Remove every stage of the instance."),
        "inspect": _entry("cache", "inspect", "Print what a stage says of itself, as JSON."),
        "credentials": _entry("cache", "credentials", "Print how to connect to a stage, as JSON."),
    },
    no_args_is_help=False,
)
@instance_option
def cache() -> None:
    """Look at, fill and empty the cache of stages."""


@click.group(
    "meta",
    cls=LazyGroup,
    table={"info": _entry("about", "info", "Show the backend and its version.")},
    no_args_is_help=False,
)
@instance_option
def meta() -> None:
    """Facts about this installation."""


@click.group(
    "platform",
    cls=LazyGroup,
    table={"support": _entry("about", "support", "Exit with 0 if this platform is supported.")},
    no_args_is_help=False,
)
def platform() -> None:
    """Facts about this platform."""
