"""The cluster that a container makes: the same whoever makes it, the image's entry point or we in its place."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pg_ephemeral import Definition, ServerError
from pg_ephemeral.backends.engine.handle import EngineHandle
from pg_ephemeral.backends.select import select
from pg_ephemeral.cache import open_cache
from pg_ephemeral.image import ImageWord
from pg_ephemeral.postgres import client
from support import engines, machine

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name), id=name) for name in machine.ENGINES]

#: What a cluster is, in what two of them have in common.
_CLUSTER = """
SELECT 'database', datname::text, concat_ws(' ', d.datdba::regrole, encoding, datcollate, datctype, datistemplate,
    datallowconn, datacl, to_jsonb(d) ->> 'datlocprovider', to_jsonb(d) ->> 'datlocale') FROM pg_database d
UNION ALL SELECT 'role', rolname, concat_ws(' ', rolsuper, rolcanlogin, rolreplication, rolbypassrls) FROM pg_roles
UNION ALL SELECT 'setting', name, setting FROM pg_file_settings
UNION ALL SELECT 'setting', name, setting FROM pg_settings
    WHERE name IN ('wal_segment_size', 'data_checksums', 'TimeZone', 'log_timezone', 'data_directory_mode')
UNION ALL SELECT 'file', 'pg_hba.conf', pg_read_file('pg_hba.conf')
"""


@pytest.fixture(autouse=True)
def _cache(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def derived(engine: str) -> Iterator[Callable[[str, str], str]]:
    """Makes an image by a script that runs in the one for tests, with a tag of its own; and removes it."""
    made = []

    def make(name: str, script: str) -> str:
        image = f"{name}:{machine.IMAGE}.{secrets.randbelow(10**6)}"
        container = f"t-{secrets.token_hex(4)}"
        base = str(ImageWord.parse(machine.IMAGE).reference)
        engines.call(engine, "run", "--name", container, "--entrypoint", "sh", base, "-c", script)
        try:
            changes = ('ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["postgres"]')
            words = [word for change in changes for word in ("--change", change)]
            engines.call(engine, "commit", *words, container, image)
        finally:
            engines.call(engine, "rm", "--volumes", container)
        made.append(image)
        return image

    yield make
    for image in made:
        engines.call(engine, "rmi", image)


@contextmanager
def cluster(engine: str, image: str, database: str) -> Iterator[EngineHandle]:
    """A server on a new cluster."""
    definition = Definition().with_image(image).with_backend(engine).with_database(database)
    backend = select(definition)
    spec = open_cache(definition, backend).spec()
    handle = backend.start(None, spec)
    assert isinstance(handle, EngineHandle)
    try:
        yield handle
    finally:
        backend.remove(handle)


def found(handle: EngineHandle, query: str) -> set[tuple[object, ...]]:
    with client.connect(handle.conninfo) as connection:
        return set(connection.rows(query))


def starts(handle: EngineHandle) -> int:
    """Of servers, until now."""
    return handle.inside.log.read_text().count("database system is ready to accept connections")


@pytest.mark.parametrize("database", ["postgres", 'the "shop" \\ :x'])
def test_it_is_the_same_without_the_entry_point(engine: str, derived: Callable[[str, str], str], database: str) -> None:
    """Which an image gets all the same that does not go by the official name."""
    seen = []
    for image, servers in ((machine.IMAGE, 1), (derived("localhost/somebodys", "true"), 2)):
        with cluster(engine, image, database) as handle:
            assert starts(handle) == servers
            handle.stop(within=60)
            handle.order_start(handle.spec, fresh=False)
            handle.await_server(fresh=False)
            seen.append(found(handle, _CLUSTER))
    assert ("database", database) in {row[:2] for row in seen[0]}
    assert seen[0] == seen[1]


def test_scripts_of_an_image_are_run_whatever_its_name(engine: str, derived: Callable[[str, str], str]) -> None:
    script = "echo 'CREATE TABLE ours AS SELECT current_database() AS n' >/docker-entrypoint-initdb.d/ours.sql"
    with cluster(engine, derived("docker.io/library/postgres", script), "shop") as handle:
        assert starts(handle) == 2
        assert found(handle, "SELECT n FROM ours") == {("shop",)}


def test_what_initdb_has_against_it_is_told(engine: str, derived: Callable[[str, str], str]) -> None:
    """And nothing is left, or the fixture could not remove the image."""
    image = derived("docker.io/library/postgres", "find /usr -name postgres.bki -exec rm {} +")
    with pytest.raises(ServerError) as caught, cluster(engine, image, "postgres"):
        pass
    assert "postgres.bki" in (caught.value.detail or "")
