"""Fixtures every test may use; the report header says what this machine cannot test and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from support import engines, machine, turns

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

# How long an example takes says what else the machine does.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

_LIBPQ = ("PG", "DATABASE_URL")


def pytest_report_header() -> list[str]:
    lines = ["PostgreSQL: " + ("; ".join(map(str, machine.installations())) or "none found")]
    for name, reason in machine.abilities().items():
        if reason is not None:
            lines.append(f"not tested here: {name}: {reason}")
    if turns.are_taken():
        lines.append(f"engines take turns above the backends: {turns.ALL_VARIABLE}=1 has every test on each")
    return lines


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if turns.are_taken():
        others = set(turns.left_out(items))
        config.hook.pytest_deselected(items=list(others))
        items[:] = [item for item in items if item not in others]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    from support.scheduler import ByWhatIsShared

    return ByWhatIsShared(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for ability in mark.args:
            reason = machine.abilities()[ability]
            if reason is None:
                continue
            if ability in machine.required():
                pytest.fail(f"{ability} is required here, but {reason}", pytrace=False)
            pytest.skip(reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last to end is the one that has workers, or is alone."""
    if not hasattr(session.config, "workerinput"):
        engines.forget_clusters()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No libpq variable, nor one of ours, reaches a test from outside, except where a cache may be."""
    for name in list(os.environ):
        if name.startswith(_LIBPQ):
            monkeypatch.delenv(name)
    # A test that does not care must not depend on which engines happen to run here.
    monkeypatch.setenv("OCIMAN_BACKEND", "embedded")


@pytest.fixture(scope="session", autouse=True)
def _passable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let another user's servers through pytest's directories, which are the tests' user's alone."""
    if machine.servers_are_foreign():
        base = tmp_path_factory.getbasetemp()
        for directory in (base, *base.parents):
            directory.chmod(directory.stat().st_mode | 0o011)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """As pytest's; servers can pass through."""
    if machine.servers_are_foreign():
        tmp_path.chmod(0o711)
    return tmp_path


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache directory for all tests that do not look into it: initdb is paid once."""
    directory = tmp_path_factory.mktemp("cache")
    if machine.servers_are_foreign():
        directory.chmod(0o711)
    return directory


@pytest.fixture
def cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache directory of the test's own, which everything under test uses; nothing may run in it afterwards."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(directory))
    yield directory
    assert servers_below(directory) == []


def servers_below(directory: Path) -> list[str]:
    """The command lines of PostgreSQL servers whose data lies below ``directory``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in command and "postgres" in command:
            found.append(command)
    return found
