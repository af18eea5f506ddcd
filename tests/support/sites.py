"""What the tests of sharing have in common: machines of every backend with one chain. No test is in here."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pg_ephemeral import Definition, boot, sharing
from pg_ephemeral.backends.base import Backend
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.cache import Cache, open_cache, reset
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.credentials import Credential, anonymous
from pg_ephemeral.oci.model import Manifest
from pg_ephemeral.oci.reference import Reference, Registry
from pg_ephemeral.oci.registry import RegistryOptions, RegistryStore
from pg_ephemeral.oci.store import read_all
from pg_ephemeral.populate import populate_only
from pg_ephemeral.progress import Event, Note, SeedStarted
from support import engines, machine
from support import registry as support
from support.project import Project

KINDS = [
    pytest.param("embedded"),
    pytest.param("docker", marks=pytest.mark.needs("docker")),
    pytest.param("podman", marks=pytest.mark.needs("podman")),
]
_DIALECTS = {"docker": DOCKER, "podman": PODMAN}

Seeds = Sequence[tuple[str, str]]

#: Five small ones; the last shows how often it was applied, in a file.
SCHEMA = ("schema", "CREATE TABLE t (id int PRIMARY KEY, note text)")
ROWS = ("rows", "INSERT INTO t SELECT n, 'note ' || n FROM generate_series(1, 1000) n")
INDEX = ("index", "CREATE INDEX ON t (note)")
MORE = ("more", "INSERT INTO t SELECT n, 'note ' || n FROM generate_series(1001, 1100) n")


@dataclass(kw_only=True)
class Site:
    """A machine: one kind of backend, a cache directory, a chain. Every look is a process of its own, as it were."""

    kind: str
    directory: Path
    definition: Definition
    events: list[Event] = field(default_factory=list)

    @property
    def backend(self) -> Backend:
        if self.kind == "embedded":
            tls = self.definition.tls is not None
            return EmbeddedBackend(self.definition.image, cache=self.directory, tls=tls)
        return EngineBackend(_DIALECTS[self.kind], self.definition.image, cache=self.directory)

    @property
    def cache(self) -> Cache:
        return open_cache(self.definition, self.backend)

    def references(self) -> list[Reference]:
        """Stage 0 first."""
        cache = self.cache
        return [cache.reference(key) for key in cache.chain.keys]

    @property
    def tip(self) -> Reference:
        return self.references()[-1]

    def at(self, host: str | None, **changes: Any) -> Site:
        """The same machine with another registry."""
        registry = None if host is None else Registry.parse(host)
        return replace(self, definition=replace(self.definition, cache_registry=registry, **changes), events=[])

    def populate(self) -> None:
        populate_only(self.cache, progress=self.events.append)

    def pull(self) -> sharing.PullReport:
        return sharing.pull(self.cache, progress=self.events.append)

    def push(self, **options: bool) -> sharing.PushReport:
        return sharing.push(self.cache, progress=self.events.append, **options)

    def sync(self, **options: bool) -> sharing.SyncReport:
        return sharing.sync(self.cache, progress=self.events.append, **options)

    def reset(self) -> None:
        list(reset(self.definition, self.backend, force=True))
        assert self.present() == []

    def present(self) -> list[int]:
        """The positions of the stages that are here."""
        cache = self.cache
        here = cache.present()
        return [position for position, key in enumerate(cache.chain.keys) if key in here]

    def named(self) -> list[Reference]:
        """What is kept under the name of the registry's repository."""
        cache = self.cache
        return [image.reference for image in cache.backend.images.list(cache.repository)]

    def applied(self) -> list[str]:
        """The seeds that were applied so far."""
        return [event.name for event in self.events if isinstance(event, SeedStarted)]

    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note) and event.warning]

    def rows(self, query: str = "SELECT count(*), max(id) FROM t") -> tuple[Any, ...] | None:
        with (
            boot(self.definition, backend=self.backend, progress=self.events.append) as server,
            server.connect() as connection,
        ):
            return connection.execute(query.encode()).fetchone()

    def leftovers(self) -> list[Path]:
        """Of stages half made."""
        return list(self.directory.glob("embedded/*/ingest/*"))


def definition(kind: str, directory: Path, salt: str, seeds: Seeds, *, tls: bool = False) -> Definition:
    """Nobody else's down to the empty cluster, for engines have one store for all."""
    made = (
        Definition(directory=directory, database=f"d{salt}")
        .with_instance(f"share-{salt}")
        .with_wait_available_timeout(60.0)
    )
    if kind != "embedded":
        made = made.with_image(ImageWord.parse(machine.IMAGE))
    if tls:
        made = made.with_tls("localhost")
    for name, statement in seeds:
        if statement.startswith("echo"):
            made = made.apply_script(name, statement)
        else:
            made = made.apply_sql_statement(name, statement)
    return made


def salted() -> str:
    return secrets.token_hex(4)


def open_directory(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    if machine.servers_are_foreign():
        directory.chmod(0o711)
    return directory


@contextmanager
def site(kind: str, directory: Path, seeds: Seeds, *, tls: bool = False, salt: str | None = None) -> Iterator[Site]:
    """A machine that has built nothing; its stages are gone from its engine at the end."""
    chosen = salt or salted()
    made = Site(
        kind=kind,
        directory=open_directory(directory / "cache"),
        definition=definition(kind, directory, chosen, seeds, tls=tls),
    )
    try:
        yield made
    finally:
        if kind != "embedded":
            engines.remove_images(kind, chosen)


def options(registry: support.Registry, *, login: bool = False) -> RegistryOptions:
    """To look into a registry ourselves."""
    credential = Credential(username=support.USER, password=support.PASSWORD)
    return RegistryOptions(keychain=(lambda _: credential) if login else anonymous, places=registry.places)


@dataclass(frozen=True, kw_only=True)
class Published:
    """An image as it is in a registry."""

    digest: str
    manifest: Manifest
    config: dict[str, Any]

    @property
    def diff_ids(self) -> list[str]:
        return list(self.config["rootfs"]["diff_ids"])


def published(registry: support.Registry, reference: Reference, *, login: bool = False) -> Published:
    with RegistryStore(options(registry, login=login)) as store:
        content = store.manifest(reference)
        assert content is not None, reference
        manifest = Manifest.parse(content.data)
        with store.open_blob(reference.name, manifest.config) as blob:
            config = json.loads(read_all(blob))
    return Published(digest=str(content.descriptor.digest), manifest=manifest, config=config)


#: How many there are at once.
PROCESSES = 8


def project(kind: str, directory: Path, registry: support.Registry, salt: str) -> Project:
    made = Project(directory=open_directory(directory / "project"), cache=open_directory(directory / "cache"))
    image = "" if kind == "embedded" else f'image = "{machine.IMAGE}"\n'
    made.write(
        database_toml=f"""
backend = "{kind}"
cache_registry = "{registry.host}/owner"

[instances.share-{salt}]
{image}database = "d{salt}"
wait_available_timeout = "120s"

[instances.share-{salt}.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE t (id int)"

[instances.share-{salt}.seeds.rows]
type = "sql-statement"
statement = "INSERT INTO t SELECT generate_series(1, 100)"
"""
    )
    return made


def at_once(project: Project, instance: str, *arguments: str) -> list[dict[str, object]]:
    """Start them all, then wait for all; what each printed."""
    running = [
        project.start("--quiet", "--instance", instance, "cache", *arguments, "--json") for _ in range(PROCESSES)
    ]
    ended = []
    try:
        for process in running:
            out, err = process.communicate(timeout=300)
            ended.append((process.returncode, out, err))
    finally:
        for process in running:
            process.kill()
    assert [(status, err) for status, _, err in ended] == [(0, "")] * PROCESSES
    return [json.loads(out) for _, out, _ in ended]


def digests(registry: support.Registry, references: list[str]) -> list[str]:
    """Of what is there, all of whose blobs are there."""
    found = []
    with RegistryStore(options(registry)) as store:
        for reference in map(Reference.parse, references):
            content = store.manifest(reference)
            assert content is not None, reference
            blobs = Manifest.parse(content.data).blobs
            assert all(store.has_blob(reference.name, blob) for blob in blobs)
            assert all(registry.blob_file(str(blob.digest)).stat().st_size == blob.size for blob in blobs)
            found.append(str(content.descriptor.digest))
    return found


def share_at_once(kind: str, registry: support.Registry, directory: Path) -> None:
    """Many processes build, push and pull one chain on one machine: nobody fails, and there is one result."""
    salt = salted()
    instance = f"share-{salt}"
    made = project(kind, directory, registry, salt)
    try:
        # Nothing is anywhere: one builds a stage, and all may push it.
        for document in at_once(made, instance, "sync", "--strict"):
            push = document["push"]
            assert isinstance(push, dict)
            assert [stage["status"] in {"pushed", "present"} for stage in push["stages"]] == [True] * 3
            references = [stage["cache_image"] for stage in push["stages"]]
        before = digests(registry, references)

        # It is only there: one pulls it, the others wait for that, and all push it again.
        made.ok("--instance", instance, "cache", "reset", "--force")
        seeds = made.json("--instance", instance, "cache", "status", "--json")["seeds"]
        assert [seed["status"] for seed in seeds] == ["miss"] * 2
        pulled = []
        for document in at_once(made, instance, "sync", "--strict"):
            pull = document["pull"]
            assert isinstance(pull, dict)
            assert pull["found"] == references[-1]
            pulled.append(pull["pulled"])
        assert references[-1] in pulled
        assert digests(registry, references) == before

        # Who was not there boots what they left.
        assert made.ok("--instance", instance, "cache", "status").count("hit") >= 1
        counted = made.ok(
            "--quiet", "--instance", instance, "psql", "--no-psqlrc", "-At", input="SELECT count(*) FROM t"
        )
        assert counted == "100\n"
        assert list(made.cache.glob("embedded/*/ingest/*")) == []
    finally:
        if kind != "embedded":
            engines.remove_images(kind, salt)
