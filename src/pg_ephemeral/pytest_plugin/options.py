"""What the options of pytest and its configuration file say, read when the first test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pg_ephemeral import config as configuration
from pg_ephemeral.config import Overrides
from pg_ephemeral.databases import Options as PoolOptions
from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import PgEphemeralError

#: A quarter of a server's connections is for making databases; this many for a worker at most. Both unless told.
_CONNECTIONS_PART = 4
_CONNECTIONS_MOST = 4

_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``ready`` databases are kept ready. With ``keep``, those of that many failed tests stay, for ``minutes``.

    ``connections`` and ``disk``, in bytes, are what all workers together may use for databases that no test has; None
    derives it.
    """

    ready: int
    keep: int
    minutes: float
    connections: int | None = None
    disk: int | None = None

    def pool(self, *, worker: str, workers: int, connections: int) -> PoolOptions:
        """What is one worker's of so many ``workers`` on a server that takes so many ``connections``.

        Where these are too few for workers to keep any, each makes a database when it is asked for.
        """
        if self.connections is None:
            own = min(_CONNECTIONS_MOST, connections // _CONNECTIONS_PART // workers)
        else:
            own = self.connections // workers
        return PoolOptions(
            ready=self.ready if own else 0,
            connections=own,
            disk=None if self.disk is None else self.disk // workers,
            processes=workers,
            prefix="_".join(filter(None, ("test", worker))),
        )


def read_options(config: pytest.Config) -> Options:
    """The numbers among the options; a test fails that needs one which is none."""
    limit, disk = _whole(config, "pg_keep") or 0, _whole(config, "pg_disk")
    return Options(
        ready=_whole(config, "pg_ready") or 0,
        keep=limit if config.getoption("--pg-keep") else 0,
        minutes=_number(config, "pg_keep_minutes", float) or 0,
        connections=_whole(config, "pg_connections"),
        disk=None if disk is None else disk * _MB,
    )


def chosen_definition(config: pytest.Config) -> Definition:
    """The definition that the options choose; the test that asks fails when there is none."""
    with clear():
        overrides = Overrides.parse(backend=_option(config, "backend"))
        loaded = configuration.load(_file(config), overrides=overrides, search_from=config.rootpath)
        return loaded.definition(_option(config, "instance") or "main")


@contextmanager
def clear() -> Iterator[None]:
    """Fail the test with what an error of ours says, and no traceback."""
    try:
        yield
    except PgEphemeralError as error:
        raise failure(error) from None


def failure(error: PgEphemeralError) -> BaseException:
    """What fails a test with the message, what belongs under it, and the hint."""
    lines = [f"pg-ephemeral: {error.message}", *(f"  {line}" for line in (error.detail or "").splitlines())]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return pytest.fail.Exception("\n".join(lines), pytrace=False)


def _option(config: pytest.Config, name: str) -> str | None:
    return config.getoption(f"--pg-{name}") or config.getini(f"pg_{name}") or None


def _file(config: pytest.Config) -> Path | None:
    """A file of the command line is relative to where pytest was started, one of the ini file to rootdir."""
    given = config.getoption("--pg-config")
    if given:
        return Path(config.invocation_params.dir / given)
    named = config.getini("pg_config")
    return Path(config.rootpath / named) if named else None


def _whole(config: pytest.Config, name: str) -> int | None:
    number = _number(config, name, int)
    return None if number is None else int(number)


def _number(config: pytest.Config, name: str, kind: type[int | float]) -> float | None:
    try:
        given = config.getini(name)
        number = None if given is None else kind(given)
    except (TypeError, ValueError, pytest.UsageError) as error:
        # Some of it is pytest's own doing, by its version and by the kind of the file.
        pytest.fail(f"pg-ephemeral: {name} is not a number of at least 0: {error}", pytrace=False)
    if number is not None and not number >= 0:
        pytest.fail(f"pg-ephemeral: {name} = {number} is not a number of at least 0", pytrace=False)
    return number
