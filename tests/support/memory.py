"""A backend that keeps everything in memory: the same contract as the real ones, without a server to wait for.

A "database" here is a list of strings. Seeds for it are ``support.seeds.WordSeed``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pg_ephemeral.backends.base import BackendInfo, Exchange, Handle, Image, ServerSpec, Transferred
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.chain import BaseIdentity, CacheKey
from pg_ephemeral.errors import CacheError, RegistryError, SeedFailed, ServerError, StageGone
from pg_ephemeral.oci.probe import Finding
from pg_ephemeral.oci.reference import Name, Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres.conninfo import Conninfo, NetworkEndpoint, SslMode
from pg_ephemeral.process import Invocation


class MemoryHandle:
    """A "server" whose data is a list of words."""

    def __init__(self, words: list[str], port: int, spec: ServerSpec) -> None:
        self.words = words
        self.running = True
        self.spec = spec
        self.port = port
        self.removed = False
        #: The superuser's, as the server knows it; and whether seeds get in without it.
        self.password = self.conninfo.password
        self.seeding = spec.seeding

    @property
    def conninfo(self) -> Conninfo:
        return Conninfo(
            endpoint=NetworkEndpoint(host="127.0.0.1", port=self.port),
            user=self.spec.superuser,
            database=self.spec.database,
            password=f"password-{self.port}",
            sslmode=SslMode.DISABLE,
        )

    control = conninfo

    def admit(self, *, seeding: bool) -> None:
        if not self.running:
            raise ServerError("the server is gone")
        self.password, self.seeding = self.conninfo.password, seeding

    def ended(self, within: float) -> bool:  # noqa: ARG002 -- it ends at once
        return not self.running

    contained = False
    log_file: Path | None = None
    programs: Path | None = None

    def recent_log(self) -> str:
        return "the last words"

    def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:  # noqa: ARG002 -- there is none
        return None

    def tool(self, name: str, *arguments: str, directory: Path) -> Invocation:
        return Invocation(argv=(name, *arguments), cwd=directory)

    def program(self, argv: Sequence[str], *, directory: Path | None = None, tty: bool = False) -> Invocation:  # noqa: ARG002
        return Invocation(argv=tuple(argv), cwd=directory)

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:  # noqa: ARG002
        if self.running:
            raise SeedFailed(f"seed {seed!r}: the server runs", seed=seed)
        self.words.append(script)


class MemoryStore:
    """Stages as tuples of words, by key; names as pairs of repository and key."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.stages: dict[CacheKey, tuple[dict[str, str], tuple[str, ...], int]] = {}
        self.names: set[tuple[Name, CacheKey]] = set()
        self.clock = itertools.count()

    def get(self, references: Iterable[Reference]) -> Mapping[Reference, Image]:
        with self.guard:
            found = {}
            for reference in references:
                key = key_of(reference)
                if key in self.stages:
                    labels, words, created = self.stages[key]
                    found[reference] = Image(reference=reference, labels=labels, created=created, size=len(words))
            return found

    def tag(self, reference: Reference) -> None:
        with self.guard:
            if key_of(reference) in self.stages:
                self.names.add((reference.name, key_of(reference)))

    def list(self, repository: Name | None) -> tuple[Image, ...]:
        from pg_ephemeral.oci.reference import Tag

        named = [(name, key) for name, key in self.names if repository in (None, name)]
        images = self.get([Reference(name=name, tag=Tag.parse(key)) for name, key in named]).values()
        return tuple(sorted(images, key=lambda image: image.created))

    def remove(self, reference: Reference, *, force: bool) -> bool:  # noqa: ARG002 -- as clones do not need it
        key = key_of(reference)
        with self.guard:
            if (reference.name, key) not in self.names:
                return False
            self.names.discard((reference.name, key))
            if not any(named == key for _, named in self.names):
                self.stages.pop(key, None)
            return True


class MemoryRegistry:
    """Stages by reference; ``trouble`` is what every question is answered with, ``refused`` pushes by their key.

    ``other_way`` leads around the trouble, as an engine's may; ``unreadable`` is what a pull is answered with. What is
    ``hollow`` has a tag and nothing else. ``watch`` is called with every line of the ``log``.
    """

    def __init__(self) -> None:
        self.stages: dict[Reference, tuple[dict[str, str], tuple[str, ...], int]] = {}
        self.trouble: RegistryError | None = None
        self.other_way = False
        self.refused: dict[CacheKey, CacheError] = {}
        self.unreadable: dict[CacheKey, RegistryError] = {}
        self.damaged: set[CacheKey] = set()
        self.hollow: set[CacheKey] = set()
        self.log: list[str] = []
        self.watch: Callable[[str], object] = lambda _line: None

    def note(self, line: str) -> None:
        self.log.append(line)
        self.watch(line)


class MemoryExchange:
    """Between a memory store and a memory registry."""

    def __init__(self, store: MemoryStore, registry: MemoryRegistry) -> None:
        self._store = store
        self._registry = registry

    def probe(self, references: Collection[Reference]) -> Mapping[Reference, Finding]:
        self._registry.note(f"probe {len(references)}")
        trouble = self._registry.trouble
        if trouble is not None:
            return {one: Finding(state=State(trouble.state), error=trouble) for one in references}
        present = self._registry.stages
        return {one: Finding(state=State.PRESENT if one in present else State.ABSENT) for one in references}

    def may_reach(self, reference: Reference, finding: Finding) -> bool:  # noqa: ARG002 -- one registry
        return self._registry.other_way and finding.state in (State.DOWN, State.TLS, State.UNKNOWN)

    def pull(self, reference: Reference, *, progress: Transferred) -> bool:
        self._registry.note(f"pull {reference.tag}")
        if key_of(reference) in self._registry.unreadable:
            raise self._registry.unreadable[key_of(reference)]
        if key_of(reference) in self._registry.damaged:
            raise RegistryError(f"{reference}: damaged", state=State.CORRUPT, hint="a hint")
        stage = self._registry.stages.get(reference)
        if stage is None or key_of(reference) in self._registry.hollow:
            return False
        with self._store.guard:
            self._store.stages[key_of(reference)] = stage
            self._store.names.add((reference.name, key_of(reference)))
        progress(len(stage[1]), len(stage[1]))
        return True

    def push(self, reference: Reference, *, progress: Transferred) -> int | None:
        self._registry.note(f"push {reference.tag}")
        refusal = self._registry.refused.get(key_of(reference))
        if refusal is not None:
            raise refusal
        stage = self._store.stages[key_of(reference)]
        self._registry.stages[reference] = stage
        progress(len(stage[1]), len(stage[1]))
        return len(stage[1])


class MemoryBackend:
    """Counts what it is asked to do in ``starts``, ``resumes`` and ``commits``."""

    name = "memory"

    def __init__(self, directory: Path, *, builds: bool = False, store: MemoryStore | None = None) -> None:
        self.builds = builds
        self.images = store if store is not None else MemoryStore()
        self.registry = MemoryRegistry()
        self.handles: list[MemoryHandle] = []
        self.starts = 0
        self.resumes = 0
        self.commits = 0
        self._directory = directory
        self._ports = itertools.count(10_000)

    def info(self) -> BackendInfo:
        return BackendInfo(name=self.name, version="1", rootless=True)

    def identify(self) -> BaseIdentity:
        return BaseIdentity(fields={"backend": self.name}, platform="linux/amd64", version="18.0")

    def start(self, source: Reference | None, spec: ServerSpec, *, serve: bool = True) -> Handle:
        words: list[str] = []
        if source is not None:
            stage = self.images.stages.get(key_of(source))
            if stage is None:
                raise StageGone(f"{source} is gone")
            words = list(stage[1])
        self._check(spec)
        self.starts += 1
        handle = MemoryHandle(words, next(self._ports), spec)
        handle.running = serve
        self.handles.append(handle)
        return handle

    def commit(self, handle: Handle, reference: Reference, labels: Mapping[str, str]) -> None:
        ours = _own(handle)
        if ours.removed:
            raise CacheError("the server is gone")
        self.commits += 1
        ours.running = False
        key = key_of(reference)
        with self.images.guard:
            self.images.stages.setdefault(key, (dict(labels), tuple(ours.words), next(self.images.clock)))
            self.images.names.add((reference.name, key))

    def resume(self, handle: Handle, spec: ServerSpec, *, serve: bool = True) -> None:
        ours = _own(handle)
        self._check(spec)
        self.resumes += 1
        ours.spec, ours.running, ours.port = spec, serve, next(self._ports)
        ours.password, ours.seeding = ours.conninfo.password, spec.seeding

    def remove(self, handle: Handle) -> None:
        ours = _own(handle)
        ours.running, ours.removed = False, True

    @contextmanager
    def tool(self, argv: Sequence[str], *, directory: Path) -> Iterator[Invocation]:
        yield Invocation(argv=tuple(argv), cwd=directory)

    @contextmanager
    def exchange(self) -> Iterator[Exchange]:
        yield MemoryExchange(self.images, self.registry)

    def sweep(self) -> list[Path]:
        return []

    def lock_file(self, name: str) -> Path:
        return self._directory / "locks" / name

    def left_behind(self) -> list[str]:
        """What of servers is still there."""
        return [f"server on port {handle.port}" for handle in self.handles if not handle.removed]

    def _check(self, spec: ServerSpec) -> None:
        if spec.parameters.get("work_mem") == "nonsense":
            raise ServerError("the server did not like work_mem", detail="invalid value")


def _own(handle: Handle) -> MemoryHandle:
    assert isinstance(handle, MemoryHandle)
    return handle
