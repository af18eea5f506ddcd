"""The command line: ``manager pg-ephemeral github-actions cache-registry test``. The only module that prints."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from manager.cache_registry import check
from manager.errors import ManagerError
from manager.settings import Settings

_NAME = "manager"
_REGISTRY_VARIABLE = "MANAGER_REGISTRY"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def program() -> None:
    """Checks of pg-ephemeral for its developers. Users need none of this."""


@program.group("pg-ephemeral")
def pg_ephemeral() -> None:
    """Checks of the pg-ephemeral program as it is installed."""


@pg_ephemeral.group("github-actions")
def github_actions() -> None:
    """Checks that publish something, and so belong into GitHub Actions. They can be run elsewhere."""


@github_actions.group("cache-registry")
def cache_registry() -> None:
    """The cache that is shared through a registry."""


@cache_registry.command("test")
@click.option(
    "--registry",
    envvar=_REGISTRY_VARIABLE,
    show_envvar=True,
    metavar="HOST",
    help="The registry's host.  [default: ghcr.io when GITHUB_REPOSITORY is set, else localhost:5000]",
)
@click.option("--backend", type=click.Choice(("docker", "podman", "embedded")), help="What runs PostgreSQL.")
@click.option("--image", metavar="IMAGE", help="Which PostgreSQL to run: 18, 17.6.")
@click.option("--program", "executable", metavar="PATH", help="Another pg-ephemeral than that on PATH.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    envvar="RUNNER_TEMP",
    metavar="DIRECTORY",
    help="Where to make the scratch directory.  [default: $RUNNER_TEMP, or the system's]",
)
def test(
    *, registry: str | None, backend: str | None, image: str | None, executable: str | None, scratch: Path | None
) -> None:
    """Populate, push, forget, pull and boot two stages, and compare at every step.

    The registry's path is GITHUB_REPOSITORY in lower case, or pg-ephemeral/local; the instance is named after
    GITHUB_RUN_ID, or at random. The engine must be logged in. The images stay in the registry.
    """
    token = secrets.token_hex(6)
    try:
        settings = Settings.of(os.environ, token=token, host=registry, backend=backend, image=image)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check(settings, told=_tell, program=executable, below=scratch)
    click.echo("The cache can be shared.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit codes are those of ``errors``."""
    try:
        with _interruptible():
            program.main(
                args=None if arguments is None else list(arguments), prog_name="manager", standalone_mode=False
            )
    except ManagerError as error:
        _tell(f"error: {error.message}")
        if error.detail:
            _tell("  " + "\n  ".join(error.detail.splitlines()))
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except _Interrupted as interrupt:
        _tell(f"error: interrupted by {signal.Signals(interrupt.signum).name}")
        return 128 + interrupt.signum
    return 0


class _Interrupted(BaseException):
    """A signal asks us to end; what is open is closed on the way out."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def _interruptible() -> Iterator[None]:
    """Signals end the block as an exception does, so that the scratch directory goes."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # A second one must not cut the clean-up short. Unlike SIG_IGN, this is not inherited by what we start.
        for one in numbers:
            signal.signal(one, lambda _number, _frame: None)
        raise _Interrupted(number)

    saved = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


def _tell(line: str) -> None:
    click.echo(line, file=sys.stderr)
