"""What the options of pytest and its configuration file say, read when the first test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pg_ephemeral import config as configuration
from pg_ephemeral.config import Overrides
from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import PgEphemeralError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``ready`` databases are kept ready. With ``keep``, those of that many failed tests stay, for ``minutes``."""

    ready: int
    keep: int
    minutes: float


def read_options(config: pytest.Config) -> Options:
    """The numbers among the options; a test fails that needs one which is none."""
    limit = int(_number(config, "pg_keep", whole=True))
    return Options(
        ready=int(_number(config, "pg_ready", whole=True)),
        keep=limit if config.getoption("--pg-keep") else 0,
        minutes=_number(config, "pg_keep_minutes", whole=False),
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


def _number(config: pytest.Config, name: str, *, whole: bool) -> float:
    text = str(config.getini(name))
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = -1
    if number < 0:
        pytest.fail(f"pg-ephemeral: {name} = {text!r} is not a number of at least 0", pytrace=False)
    return number
