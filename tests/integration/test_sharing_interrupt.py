"""Ctrl-C, or a job that is cancelled, while a registry has stopped answering: it ends at once, and leaves nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support import bad_registry
from support.bad_registry import BadRegistry, Reply, Request
from support.project import Project, eventually
from support.sites import open_directory, salted

#: Less than the minute after which the client itself would give up the silent registry.
_AT_ONCE = 30


@dataclass
class Silence:
    """A registry that stops answering where a test says; ``reached`` when it has."""

    registry: BadRegistry
    released: threading.Event
    reached: threading.Event

    def answer_nothing(self, method: str, path: str, *, but: tuple[str, ...] = ()) -> None:
        """Except for what is asked for by the digests ``but``."""

        def hold(request: Request) -> Reply | None:
            if request.path.endswith(but):
                return None
            self.reached.set()
            self.released.wait(60)
            return None

        self.registry.on(method, path, hold)

    def stop_in_the_middle(self, path: str) -> None:
        """Half of every large body, and no more."""

        def half(request: Request) -> Reply:
            whole = self.registry.properly(request)
            if len(whole.body) < 100_000:
                return whole
            self.reached.set()
            return replace(whole, cut=len(whole.body) // 2, held=self.released)

        self.registry.on("GET", path, half)


@dataclass(frozen=True)
class Built:
    """A project whose stages are built, and what a registry keeps of them."""

    project: Project
    blobs: dict[str, bytes]
    manifests: dict[tuple[str, str], tuple[str, bytes]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = open_directory(tmp_path_factory.mktemp("interrupt"))
    made = Project(directory=open_directory(directory / "project"), cache=open_directory(directory / "cache"))
    made.write(
        database_toml=f"""
backend = "embedded"

[instances.main]
database = "d{salted()}"

[instances.main.seeds.rows]
type = "sql-statement"
statement = "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 200000) n"

[instances.main.seeds.small]
type = "sql-statement"
statement = "CREATE TABLE small (id int)"
"""
    )
    with bad_registry.running() as registry:
        made.ok("--cache-registry", f"{registry.host}/owner", "cache", "sync", "--strict")
        return Built(made, registry.blobs, registry.manifests)


@pytest.fixture
def silence() -> Iterator[Silence]:
    with bad_registry.running() as registry:
        made = Silence(registry, threading.Event(), threading.Event())
        try:
            yield made
        finally:
            made.released.set()


def upload(silence: Silence) -> None:
    silence.answer_nothing("PUT", ".*/blobs/uploads/.*")


def opening(silence: Silence) -> None:
    silence.answer_nothing("POST", ".*/blobs/uploads/")


def manifest(silence: Silence) -> None:
    silence.answer_nothing("GET", ".*/manifests/.*")


def configuration(silence: Silence) -> None:
    silence.answer_nothing("GET", ".*/blobs/.*")


def layers(silence: Silence) -> None:
    """Some of which are read ahead."""
    configurations = tuple(one for one, data in silence.registry.blobs.items() if data.startswith(b"{"))
    silence.answer_nothing("GET", ".*/blobs/.*", but=configurations)


def half_a_blob(silence: Silence) -> None:
    silence.stop_in_the_middle(".*/blobs/.*")


def questions(silence: Silence) -> None:
    silence.answer_nothing("HEAD", ".*")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("verb", "stop"),
    [
        ("push", upload),
        ("push", opening),
        ("push", questions),
        ("pull", manifest),
        ("pull", configuration),
        ("pull", layers),
        ("pull", half_a_blob),
        ("pull", questions),
    ],
)
def test_a_transfer_that_stands_still_can_be_interrupted(
    verb: str, stop: Callable[[Silence], None], number: signal.Signals, silence: Silence, built: Built, tmp_path: Path
) -> None:
    project = built.project
    if verb == "pull":
        project = replace(project, cache=open_directory(tmp_path / "elsewhere"))
        silence.registry.blobs.update(built.blobs)
        silence.registry.manifests.update(built.manifests)
    stop(silence)
    with project.start("--cache-registry", f"{silence.registry.host}/owner", "cache", verb) as running:
        try:
            eventually(silence.reached.is_set)
            running.send_signal(number)
            _, err = running.communicate(timeout=_AT_ONCE)
        finally:
            running.kill()
    assert running.returncode == 128 + number
    assert "error: interrupted" in err
    assert "Traceback" not in err
    assert "Exception" not in err
    assert list(project.cache.glob("embedded/*/ingest/*")) == []
