"""Real servers for integration tests; their stages are kept in one cache for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import open_cache
from pg_ephemeral.definition import Definition
from pg_ephemeral.server import SeedTarget
from support import engines, machine
from support.registry import Registry, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here boots a server."""
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.needs("embedded"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One for all: the first push of an engine sends the image of PostgreSQL, too, and takes long to compress it."""
    with running(tmp_path_factory.mktemp("registry") / "plain") as one:
        yield one


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
