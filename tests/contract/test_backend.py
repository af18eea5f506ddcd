"""What ``pg_ephemeral.backends.base`` promises, shown for every backend there is."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec import structs

from pg_ephemeral.backends.base import Backend, Handle, ServerSpec
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import ClientError, ServerError, StageGone
from pg_ephemeral.image import ImageWord
from pg_ephemeral.labels import KEY_LABEL
from pg_ephemeral.oci.reference import Name, Reference, Tag
from pg_ephemeral.postgres import account, client, parameters
from pg_ephemeral.postgres.conninfo import Conninfo
from support import engines, machine
from support.memory import MemoryBackend, MemoryHandle

SPEC = ServerSpec(
    superuser="postgres",
    database="postgres",
    parameters=parameters.effective({}, test_profile=True),
    timeout=20.0,
)


@dataclass
class Subject:
    """A backend under test, and the two things the suite does to servers: write a word, read all words."""

    backend: Backend
    directory: Path
    #: An empty cluster, which was made once for many cases; None where that takes no time.
    empty: Reference | None = None
    salt: str = field(default_factory=lambda: secrets.token_hex(4))

    def begin(self, spec: ServerSpec = SPEC) -> Handle:
        """A server to begin with, where it does not matter how it came about."""
        return self.backend.start(self.empty, spec)

    def reference(self, word: str, repository: str = "pg-ephemeral/main") -> Reference:
        """Nobody else's, for engines have one store for all."""
        key = hashlib.sha256(f"{self.salt} {word}".encode()).hexdigest()
        return Reference(name=Name.parse(f"{repository}-{self.salt}"), tag=Tag.parse(key))

    def labels(self, word: str, **more: str) -> dict[str, str]:
        """What a stage made in this suite says of itself."""
        return {KEY_LABEL: str(self.reference(word).tag), "pg-ephemeral.instance": f'a "b" $c \\ {self.salt}', **more}

    def write(self, handle: Handle, word: str) -> None:
        if isinstance(handle, MemoryHandle):
            handle.words.append(word)
            return
        with client.connect(handle.control) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
            connection.execute("INSERT INTO words VALUES (%s)", (word,))

    def read(self, handle: Handle) -> list[str]:
        if isinstance(handle, MemoryHandle):
            assert self.lets_in(handle.conninfo, handle)
            return sorted(handle.words)
        with client.connect(handle.conninfo) as connection:
            if connection.rows("SELECT to_regclass('words') IS NULL") == [(True,)]:
                return []
            return [word for (word,) in connection.rows("SELECT word FROM words ORDER BY 1")]

    def change_password(self, handle: Handle) -> None:
        """As a seed may."""
        if isinstance(handle, MemoryHandle):
            handle.password = "a seed's"
            return
        with client.connect(handle.control) as connection:
            connection.execute("ALTER ROLE postgres PASSWORD 'a seed''s' VALID UNTIL '2000-01-01'")

    def lets_in(self, conninfo: Conninfo, handle: Handle) -> bool:
        if isinstance(handle, MemoryHandle):
            return conninfo.password == handle.password
        try:
            client.connect(conninfo).close()
        except ClientError:
            return False
        return True

    def left_behind(self) -> list[str]:
        if isinstance(self.backend, MemoryBackend):
            return self.backend.left_behind()
        if isinstance(self.backend, EngineBackend):
            return engines.left_behind(self.backend.name, self.directory)
        runs = self.directory / "embedded" / "v1" / "run"
        return [str(path) for path in runs.iterdir()] if runs.exists() else []


def _memory(directory: Path) -> Backend:
    return MemoryBackend(directory)


def _embedded(directory: Path) -> Backend:
    return EmbeddedBackend(ImageWord.parse("latest"), cache=directory)


def _system(directory: Path) -> Backend:
    system = next(one for one in machine.installations() if "wheel" not in one.source)
    return EmbeddedBackend(ImageWord.parse(system.version.text), cache=directory)


def _unprivileged(directory: Path) -> Backend:
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)  # pytest's directories are root's alone
    return EmbeddedBackend(
        ImageWord.parse("latest"), cache=directory, account=account.unprivileged(("postgres", "nobody"))
    )


def _docker(directory: Path) -> Backend:
    return EngineBackend(DOCKER, ImageWord.parse(machine.IMAGE), cache=directory)


def _podman(directory: Path) -> Backend:
    return EngineBackend(PODMAN, ImageWord.parse(machine.IMAGE), cache=directory)


#: How a backend comes about, with its store in a directory.
Make: TypeAlias = Callable[[Path], Backend]

#: A stage that holds nothing.
EMPTY = Reference(name=Name.parse("pg-ephemeral/empty"), tag=Tag.parse("e" * 64))

BACKENDS = [
    pytest.param(_memory, id="memory"),
    pytest.param(_embedded, id="embedded", marks=pytest.mark.needs("embedded")),
    pytest.param(_system, id="embedded-system", marks=pytest.mark.needs("system")),
    pytest.param(_unprivileged, id="embedded-unprivileged", marks=pytest.mark.needs("embedded", "root")),
    pytest.param(_docker, id="docker", marks=pytest.mark.needs("docker")),
    pytest.param(_podman, id="podman", marks=pytest.mark.needs("podman")),
]


@pytest.fixture(scope="session")
def empty_stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Make], Path]:
    """Makes stores of the embedded backend with a stage that holds nothing, one for each way to make a backend."""

    @cache
    def make(backend: Make) -> Path:
        store = tmp_path_factory.mktemp("empty") / "store"
        made = backend(store)
        handle = made.start(None, SPEC)
        made.commit(handle, EMPTY, {KEY_LABEL: str(EMPTY.tag)})
        made.remove(handle)
        return store

    return make


def _empty(backend: Backend, make: Make, store: Path, empty_stores: Callable[[Make], Path]) -> Reference | None:
    if isinstance(backend, EngineBackend):
        return engines.have_cluster(backend.name)
    if not isinstance(backend, EmbeddedBackend):
        return None
    there, here = (directory / "embedded" / "v1" for directory in (empty_stores(make), store))
    here.mkdir(parents=True, mode=0o711)
    # Sealed files are never written again, so that two stores may have them.
    for part in ("stages", "names"):
        subprocess.run(["cp", "-al", there / part, here / part], check=True)
    return EMPTY


@pytest.fixture(params=BACKENDS)
def subject(request: pytest.FixtureRequest, tmp_path: Path, empty_stores: Callable[[Make], Path]) -> Iterator[Subject]:
    store = tmp_path / "store"
    backend = request.param(store)
    subject = Subject(backend, store, _empty(backend, request.param, store, empty_stores))
    yield subject
    assert subject.left_behind() == []
    if isinstance(subject.backend, EngineBackend):
        engines.remove_images(subject.backend.name, subject.salt)


def test_a_committed_stage_holds_what_was_written_before(subject: Subject) -> None:
    backend = subject.backend
    first = backend.start(None, SPEC)
    assert first.running
    subject.write(first, "one")
    backend.commit(first, subject.reference("one"), subject.labels("one"))
    assert first.ended(within=0.0)
    backend.resume(first, SPEC)
    subject.write(first, "two")
    assert subject.read(first) == ["one", "two"]

    second = backend.start(subject.reference("one"), SPEC)
    assert subject.read(second) == ["one"]
    subject.write(second, "three")
    backend.remove(second)
    backend.remove(first)

    third = backend.start(subject.reference("one"), SPEC)
    assert subject.read(third) == ["one"], "what the second server wrote must not reach the stage, or a spare of it"
    backend.remove(third)


def test_stages_build_on_one_another(subject: Subject) -> None:
    backend = subject.backend
    handle = subject.begin()
    for word in ("a", "b", "c"):
        subject.write(handle, word)
        backend.commit(handle, subject.reference(word), subject.labels(word))
        backend.resume(handle, SPEC)
    backend.remove(handle)
    for word, words in (("a", ["a"]), ("c", ["a", "b", "c"]), ("b", ["a", "b"])):
        handle = backend.start(subject.reference(word), SPEC)
        assert subject.read(handle) == words
        backend.remove(handle)


def test_the_store_finds_a_stage_by_its_key_under_any_name(subject: Subject) -> None:
    backend = subject.backend
    handle = subject.begin()
    backend.commit(handle, subject.reference("x"), subject.labels("x"))
    backend.remove(handle)
    mine, theirs, absent = (
        subject.reference("x"),
        subject.reference("x", "ghcr.io/team/pg-ephemeral/other"),
        subject.reference("y"),
    )
    found = backend.images.get([mine, theirs, absent])
    assert set(found) == {mine, theirs}
    assert found[mine].labels.items() >= subject.labels("x").items()
    assert backend.images.list(theirs.name) == (), "to look is not to keep"
    backend.images.tag(theirs)
    backend.images.tag(absent)
    assert [image.reference for image in backend.images.list(theirs.name)] == [theirs]

    assert backend.images.remove(mine, force=False)
    assert not backend.images.remove(mine, force=False)
    assert backend.images.list(mine.name) == ()
    assert set(backend.images.get([theirs])) == {theirs}, "another name still holds it"
    assert backend.images.remove(theirs, force=True)
    assert backend.images.get([theirs]) == {}


def test_a_server_starts_from_a_stage_that_only_another_name_holds(subject: Subject) -> None:
    backend = subject.backend
    handle = subject.begin()
    subject.write(handle, "theirs")
    backend.commit(handle, subject.reference("x", "pg-ephemeral/theirs"), subject.labels("x"))
    backend.remove(handle)
    mine = subject.reference("x", "pg-ephemeral/mine")
    assert set(backend.images.get([mine])) == {mine}
    handle = backend.start(mine, SPEC)
    assert subject.read(handle) == ["theirs"]
    backend.remove(handle)


def test_a_listing_is_oldest_first_and_of_one_repository(subject: Subject) -> None:
    backend = subject.backend
    handle = subject.begin()
    for word, repository in (("1", "pg-ephemeral/a"), ("2", "pg-ephemeral/b"), ("3", "pg-ephemeral/a")):
        backend.commit(handle, subject.reference(word, repository), subject.labels(word))
        backend.resume(handle, SPEC)
    backend.remove(handle)
    listed = backend.images.list(subject.reference("1", "pg-ephemeral/a").name)
    assert [image.reference for image in listed] == [subject.reference(word, "pg-ephemeral/a") for word in ("1", "3")]
    everything = {image.reference for image in backend.images.list(None)}
    assert everything >= {subject.reference("2", "pg-ephemeral/b"), *(image.reference for image in listed)}


def test_the_first_commit_of_a_key_wins(subject: Subject) -> None:
    backend = subject.backend
    for word in ("first", "second"):
        handle = subject.begin()
        subject.write(handle, word)
        backend.commit(handle, subject.reference("key"), subject.labels("key", by=word))
        backend.remove(handle)
    handle = backend.start(subject.reference("key"), SPEC)
    assert subject.read(handle) == ["first"]
    backend.remove(handle)
    assert backend.images.get([subject.reference("key")])[subject.reference("key")].labels["by"] == "first"


def test_commits_of_one_key_at_once_leave_one_whole_stage(subject: Subject) -> None:
    backend = subject.backend
    handles = [subject.begin() for _ in range(3)]
    for handle in handles:
        subject.write(handle, "same")
    failures: list[BaseException] = []

    def commit(handle: Handle) -> None:
        try:
            backend.commit(handle, subject.reference("key"), subject.labels("key"))
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=commit, args=(handle,)) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for handle in handles:
        backend.remove(handle)
    handle = backend.start(subject.reference("key"), SPEC)
    assert subject.read(handle) == ["same"]
    backend.remove(handle)


def test_starting_from_an_absent_stage_says_so_and_leaves_nothing(subject: Subject) -> None:
    with pytest.raises(StageGone):
        subject.backend.start(subject.reference("never made"), SPEC)
    assert subject.left_behind() == []


def test_a_server_outlives_the_removal_of_its_stage(subject: Subject) -> None:
    backend = subject.backend
    origin = subject.begin()
    subject.write(origin, "kept")
    backend.commit(origin, subject.reference("gone"), subject.labels("gone"))
    backend.remove(origin)
    handle = backend.start(subject.reference("gone"), SPEC)
    backend.images.remove(subject.reference("gone"), force=True)
    assert subject.read(handle) == ["kept"]
    backend.remove(handle)
    assert backend.images.get([subject.reference("gone")]) == {}


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(subject: Subject) -> None:
    broken = structs.replace(SPEC, parameters={**SPEC.parameters, "work_mem": "nonsense"})
    with pytest.raises(ServerError) as caught:
        subject.backend.start(None, broken)
    assert "invalid value" in (caught.value.detail or "")
    assert subject.left_behind() == []


def test_removing_is_idempotent_whatever_the_state(subject: Subject) -> None:
    backend = subject.backend
    stopped = subject.begin()
    backend.commit(stopped, subject.reference("s"), subject.labels("s"))
    for handle in (stopped, backend.start(subject.reference("s"), SPEC)):
        backend.remove(handle)
        assert not handle.running
        backend.remove(handle)
    assert subject.left_behind() == []


def test_every_start_has_a_password_of_its_own_on_loopback(subject: Subject) -> None:
    backend = subject.backend
    handle = backend.start(None, SPEC)
    seen = [handle.conninfo]
    backend.commit(handle, subject.reference("p"), subject.labels("p"))
    backend.resume(handle, SPEC)
    seen.append(handle.conninfo)
    other = backend.start(subject.reference("p"), SPEC)
    seen.append(other.conninfo)
    assert len({conninfo.password for conninfo in seen}) == 3
    assert {_host(conninfo.endpoint) for conninfo in seen} == {"127.0.0.1"}
    backend.remove(handle)
    backend.remove(other)


def test_a_changed_password_stands_in_nobodys_way_while_there_are_seeds(subject: Subject) -> None:
    backend, seeding = subject.backend, structs.replace(SPEC, seeding=True)
    handle = subject.begin(seeding)
    subject.write(handle, "one")
    subject.change_password(handle)
    backend.commit(handle, subject.reference("one"), subject.labels("one"))
    backend.resume(handle, seeding)
    assert subject.read(handle) == ["one"]
    subject.change_password(handle)
    handle.admit(seeding=True)
    assert subject.read(handle) == ["one"]
    subject.change_password(handle)
    handle.admit(seeding=False)
    assert subject.read(handle) == ["one"]
    for theirs in (handle.conninfo, handle.control):
        assert not subject.lets_in(replace(theirs, password="a seed's"), handle)
    backend.remove(handle)


def test_identity_is_stable_and_names_the_platform(subject: Subject) -> None:
    identity = subject.backend.identify()
    assert identity == subject.backend.identify()
    assert "/" in identity.platform
    assert subject.backend.info().name == subject.backend.name


def _host(endpoint: Any) -> str:
    return str(endpoint.host)
