"""Commands that only tell: list, meta info, platform support."""

from __future__ import annotations

import sys

import click

from pg_ephemeral.cli import output
from pg_ephemeral.cli.options import global_options_of, instance_option, some_definition_of
from pg_ephemeral.errors import PgEphemeralError

_PLATFORMS = ("linux", "darwin")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("list")
@json_option
@click.pass_context
def list_instances(context: click.Context, *, as_json: bool) -> None:
    """List the instances, sorted by name."""
    instances = global_options_of(context).config().instances
    if as_json:
        output.document(
            [
                {"name": str(name), "image": str(one.image), "seeds": [str(seed.name) for seed in one.seeds]}
                for name, one in instances.items()
            ]
        )
    elif instances:
        output.text("\n".join(instances))


@click.command("info")
@instance_option
@json_option
@click.pass_context
def info(context: click.Context, *, as_json: bool) -> None:
    """Show the backend, its version, and whether it works without root's rights."""
    from pg_ephemeral.backends.select import select

    backend = select(some_definition_of(context)).info()
    if as_json:
        output.document({"backend": backend.name, "version": backend.version, "rootless": backend.rootless})
    else:
        output.text(f"Backend:  {backend.name} {backend.version}")
        output.text(f"Rootless: {str(backend.rootless).lower()}")


@click.command("support")
def support() -> None:
    """Exit with 0 if this platform is supported, without a word; with 1 if it is not, saying why."""
    if sys.platform not in _PLATFORMS:
        raise PgEphemeralError(f"platform {sys.platform} is not supported", hint="use Linux or macOS")
