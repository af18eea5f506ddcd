"""Options that many commands share, and what they mean: which file, which settings on top of it, which instance.

``--instance`` stands before, between or after the words of a command; the last one wins.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pg_ephemeral.config import Config
    from pg_ephemeral.definition import Definition
    from pg_ephemeral.progress import Progress

_INSTANCE = "pg_ephemeral.instance"
_BACKENDS = ("auto", "docker", "podman", "embedded")
_Command = TypeVar("_Command", bound=Callable[..., object])


class GlobalOptions(NamedTuple):
    """What stands before the command. None and empty leave a setting to the file."""

    config_file: Path | None = None
    no_config_file: bool = False
    backend: str | None = None
    cache_registry: str | None = None
    image: str | None = None
    parameters: tuple[str, ...] = ()
    ssl_hostname: str | None = None
    quiet: bool = False

    def config(self) -> Config:
        """Load the configuration with these settings on top. Raises ``ConfigError`` and ``InvalidValue``."""
        from pg_ephemeral.config import Config, Overrides, load

        overrides = Overrides.parse(
            backend=self.backend,
            image=self.image,
            cache_registry=self.cache_registry,
            assignments=self.parameters,
            ssl_hostname=self.ssl_hostname,
        )
        if self.no_config_file:
            return Config.default(overrides=overrides)
        return load(self.config_file, overrides=overrides)


def _remember_instance(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    # Contexts share their ``meta``, and inner ones are parsed later.
    if value is not None:
        context.meta[_INSTANCE] = value


instance_option = click.option(
    "--instance",
    metavar="NAME",
    expose_value=False,
    callback=_remember_instance,
    help="The instance to use.  [default: main]",
)


def global_options(command: _Command) -> _Command:
    """Add the options that stand before the command; they are passed on as fields of ``GlobalOptions``."""
    for option in reversed(_GLOBAL):
        command = option(command)
    return command


_GLOBAL = (
    click.option(
        "--config-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Read this file.  [default: database.toml here, or in a directory above]",
    ),
    click.option("--no-config-file", is_flag=True, help="Read no file, even if there is one."),
    click.option("--backend", type=click.Choice(_BACKENDS), help="What runs PostgreSQL."),
    click.option("--cache-registry", metavar="NAME", help="Where stages are shared, for every instance."),
    click.option("--image", metavar="IMAGE", help="Which PostgreSQL to run, for every instance: 18, 17.6, latest."),
    click.option(
        "--parameter",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="A server parameter, for every instance. May be repeated; the last of a name wins.",
    ),
    click.option("--ssl-hostname", metavar="HOST", help="Serve TLS only, with a certificate for this host name."),
    instance_option,
    click.option("--quiet", "-q", is_flag=True, help="Show no progress and no closing line."),
)


def global_options_of(context: click.Context) -> GlobalOptions:
    """The options before the command."""
    return context.find_object(GlobalOptions) or GlobalOptions()


def progress_of(context: click.Context) -> AbstractContextManager[Progress]:
    """What shows the events of long work, for the block; nothing does if the command is to be quiet."""
    from pg_ephemeral.cli.progress_display import shown_progress

    return shown_progress(quiet=global_options_of(context).quiet)


def chosen_instance(context: click.Context) -> str | None:
    """The instance asked for, if any."""
    name: str | None = context.meta.get(_INSTANCE)
    return name


def definition_of(context: click.Context) -> Definition:
    """What to boot. Raises ``ConfigError`` for an unknown instance, and as ``GlobalOptions.config`` does."""
    from pg_ephemeral.definition import DEFAULT_INSTANCE

    return global_options_of(context).config().definition(chosen_instance(context) or DEFAULT_INSTANCE)


def some_definition_of(context: click.Context) -> Definition:
    """The instance asked for, else main, else any: for what depends on the backend alone."""
    from pg_ephemeral.definition import DEFAULT_INSTANCE, Definition

    config, name = global_options_of(context).config(), chosen_instance(context)
    if name is not None or DEFAULT_INSTANCE in config.instances:
        return config.definition(name or DEFAULT_INSTANCE)
    return next(iter(config.instances.values()), None) or Definition()
