"""Real servers for integration tests; their stages are kept in one cache for the whole run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import open_cache
from pg_ephemeral.definition import Definition
from pg_ephemeral.server import SeedTarget
from support import engines, machine

#: What is above the backends works alike on all engines, so each case of these is shown on one of them.
_IN_TURN = frozenset(
    {
        "test_cli_engine",
        "test_engine_container_script",
        "test_hindering_seeds",
        "test_manager",
        "test_sharing_faults",
        "test_sharing_login",
        "test_sharing_race",
        "test_sharing_registry",
    }
)
_ALL = "PG_EPHEMERAL_TEST_ALL"


def pytest_report_header() -> str:
    return f"engines take turns above the backends: {_ALL}=1 has every test on each" if _turns() else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here boots a server; and what one engine has for several tests is made by one worker."""
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.needs("embedded"))
        engine = _engine(item)
        if engine is not None:
            what = "sharing" if "sharing" in item.path.stem else item.path.stem
            item.add_marker(pytest.mark.xdist_group(f"{what}-{engine}"))
    if _turns():
        left_out = _not_their_turn(items)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _turns() -> bool:
    return not os.environ.get(_ALL) and all(machine.abilities()[engine] is None for engine in machine.ENGINES)


def _not_their_turn(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of each case that every engine could show, all but one."""
    cases: dict[str, dict[str, pytest.Item]] = {}
    for item in items:
        engine = _engine(item)
        if engine is not None and item.path.stem in _IN_TURN:
            cases.setdefault(item.nodeid.replace(engine, "engine"), {})[engine] = item
    several = (case for case in cases.values() if len(case) == len(machine.ENGINES))
    turns = zip(several, itertools.cycle(machine.ENGINES), strict=False)
    return [item for case, turn in turns for engine, item in case.items() if engine != turn]


def _engine(item: pytest.Item) -> str | None:
    """The engine that a test is about, if it is one."""
    found = {name for mark in item.iter_markers("needs") for name in mark.args}.intersection(machine.ENGINES)
    return found.pop() if len(found) == 1 else None


@pytest.fixture(params=range(2), ids=["newest", "oldest"])
def server_target(request: pytest.FixtureRequest, warm_cache: Path, tmp_path: Path) -> Iterator[SeedTarget]:
    """An empty server to apply seeds to: once of the newest PostgreSQL here, once of the oldest."""
    by_version = sorted(machine.installations(), key=lambda one: (-one.version.major, -one.version.minor))
    installation = by_version[0 if request.param == 0 else -1]
    if request.param == 1 and len(by_version) == 1:
        pytest.skip("only one PostgreSQL version is installed")
    definition = Definition(directory=tmp_path).with_image(installation.version.text)
    backend = EmbeddedBackend(definition.image, cache=warm_cache)
    cache = open_cache(definition, backend)
    from pg_ephemeral.populate import populate_only

    populate_only(cache)
    handle = backend.start(cache.reference(cache.chain.cluster), cache.spec())
    try:
        yield SeedTarget(handle, definition)
    finally:
        backend.remove(handle)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests on an engine have seeds of their own; the cluster that these are applied to is made once for all."""
    for mark in item.iter_markers("needs"):
        for engine in set(mark.args).intersection(machine.ENGINES):
            if machine.abilities()[engine] is None:
                engines.have_cluster(engine)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        engines.forget_clusters()
