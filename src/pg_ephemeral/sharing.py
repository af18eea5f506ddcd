"""Share the stages of one definition through a registry: pull the newest, push what is here, or both around a build.

What a registry holds is known beforehand by one round of questions. A stage counts by its key, which its image must
carry; the registry's name is in no key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pg_ephemeral.backends.base import Exchange
from pg_ephemeral.cache import Cache, populate_only
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import DefinitionError, RegistryError
from pg_ephemeral.lock import exclusive
from pg_ephemeral.oci.endpoint import is_loopback, registry_of
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.progress import (
    Note,
    Progress,
    TransferFinished,
    Transferring,
    TransferStarted,
    Waiting,
    silent,
)

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding

_CLUSTER = "the empty cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One stage that was looked for in the registry, and how that stands to it."""

    name: str
    reference: Reference
    state: State

    def to_json(self) -> dict[str, str]:
        """For ``--json``."""
        return {"name": self.name, "cache_image": str(self.reference), "state": self.state.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReport:
    """What ``cache pull`` did. ``present`` is the newest stage that was here before; ``looked`` is newest first."""

    cache: Cache
    present: Reference | None
    pulled: Reference | None
    looked: tuple[Looked, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache pull --json``, keys in their order."""
        newest = self.pulled or self.present
        return {
            "instance": str(self.cache.definition.instance),
            "registry": registry_of(self.cache.repository),
            "found": None if newest is None else str(newest),
            "pulled": None if self.pulled is None else str(self.pulled),
            "present": None if self.present is None else str(self.present),
            "complete": newest is not None and newest == self.cache.reference(self.cache.chain.keys[-1]),
            "looked": [one.to_json() for one in self.looked],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One stage and what became of it: ``pushed``, or ``present``: the registry had it. ``sent`` counts bytes."""

    name: str
    reference: Reference
    status: str
    sent: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"name": self.name, "cache_image": str(self.reference), "status": self.status, "sent_bytes": self.sent}


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What ``cache push`` did, oldest stage first."""

    cache: Cache
    stages: tuple[Pushed, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache push --json``, keys in their order."""
        return {
            "instance": str(self.cache.definition.instance),
            "registry": registry_of(self.cache.repository),
            "pushed": sum(stage.status == "pushed" for stage in self.stages),
            "stages": [stage.to_json() for stage in self.stages],
        }


def pull(cache: Cache, *, progress: Progress = silent) -> PullReport:
    """Have the newest stage that is here or in the registry. To find none is no failure.

    A stage that is damaged there is passed over for an older one. Raises ``DefinitionError`` without a registry, and
    ``RegistryError`` when the registry cannot say what it has.
    """
    _require_registry(cache)
    here = cache.present()
    newest = next((key for key in reversed(cache.chain.keys) if key in here), None)
    if newest is not None:
        # Whatever the registry says: it may be here under another name alone.
        cache.backend.images.tag(cache.reference(newest))
    wanted = _newer_than(cache, newest)
    looked: list[Looked] = []
    pulled = None
    with cache.backend.exchange() as exchange:
        findings = exchange.probe([cache.reference(key) for key in wanted])
        for key in wanted:
            reference = cache.reference(key)
            state = _fetch(cache, exchange, key, findings[reference], progress)
            looked.append(Looked(name=_name(cache, key), reference=reference, state=state))
            if state is State.PRESENT:
                pulled = reference
                break
    present = None if newest is None else cache.reference(newest)
    return PullReport(cache=cache, present=present, pulled=pulled, looked=tuple(looked))


def push(cache: Cache, *, tip: bool = False, force: bool = False, progress: Progress = silent) -> PushReport:
    """Send the stages that are here, oldest first, leaving alone what the registry has unless ``force``.

    With ``tip``, the last stage alone. The first failure ends it, naming the stage; what was sent stays, so that the
    next push goes on from there. Raises ``DefinitionError`` without a registry, and ``RegistryError``.
    """
    _require_registry(cache)
    here = cache.present()
    keys = [key for key in (cache.chain.keys[-1:] if tip else cache.chain.keys) if key in here]
    stages: list[Pushed] = []
    with cache.backend.exchange() as exchange:
        findings = exchange.probe([cache.reference(key) for key in keys])
        if keys and not any(finding.state is State.PRESENT for finding in findings.values()):
            _announce(cache, len(keys), progress)
        for key in keys:
            name, reference = _name(cache, key), cache.reference(key)
            if findings[reference].state is State.PRESENT and not force:
                stages.append(Pushed(name=name, reference=reference, status="present"))
                continue
            _refuse_hopeless(name, findings[reference])
            with _transfer(name, reference, progress, push=True) as finished, _naming(name):
                sent = exchange.push(reference, progress=_counting(progress))
                finished(sent)
            stages.append(Pushed(name=name, reference=reference, status="pushed", sent=sent))
    return PushReport(cache=cache, stages=tuple(stages))


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What ``cache sync`` did; a part that was given up is None, and ``warnings`` say why."""

    pulled: PullReport | None
    pushed: PushReport | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache sync --json``, keys in their order."""
        return {
            "pull": None if self.pulled is None else self.pulled.to_json(),
            "push": None if self.pushed is None else self.pushed.to_json(),
            "warnings": list(self.warnings),
        }


def sync(cache: Cache, *, strict: bool = False, progress: Progress = silent) -> SyncReport:
    """Pull, populate, push. A registry's trouble is a warning, and the stages are built here, unless ``strict``.

    Raises what ``populate`` raises, and with ``strict`` what ``pull`` and ``push`` do.
    """
    _require_registry(cache)
    warnings: list[str] = []

    def tolerate(error: RegistryError, instead: str) -> None:
        if strict:
            raise error
        text = f"{error.message}; {instead}"
        warnings.append(text)
        progress(Note(text=text, warning=True))

    pulled = pushed = None
    try:
        pulled = pull(cache, progress=progress)
    except RegistryError as error:
        tolerate(error, "building here instead")
    cache = populate_only(cache, progress=progress)
    try:
        pushed = push(cache, progress=progress)
    except RegistryError as error:
        tolerate(error, "what is missing there was not pushed")
    return SyncReport(pulled=pulled, pushed=pushed, warnings=tuple(warnings))


def _require_registry(cache: Cache) -> None:
    if cache.definition.shared_repository is None:
        raise DefinitionError(
            f"instance {cache.definition.instance!r} has no cache registry",
            hint="set cache_registry in database.toml, or give --cache-registry, such as ghcr.io/owner/project",
        )


def _newer_than(cache: Cache, newest: CacheKey | None) -> tuple[CacheKey, ...]:
    keys = cache.chain.keys
    return tuple(reversed(keys if newest is None else keys[keys.index(newest) + 1 :]))


def _fetch(cache: Cache, exchange: Exchange, key: CacheKey, finding: Finding, progress: Progress) -> State:
    """Pull one stage if it is there; return how it stands. Raises ``RegistryError`` when that cannot be known."""
    reference, name = cache.reference(key), _name(cache, key)
    if finding.state.is_miss:
        return finding.state
    if finding.state is not State.PRESENT and finding.error is not None:
        raise finding.error
    waiting = partial(progress, Waiting(name=name))
    try:
        with exclusive(cache.backend.lock_file(key), waiting=waiting):
            if cache.backend.images.get([reference]):
                # Another process has just made it, maybe under another name.
                cache.backend.images.tag(reference)
                return State.PRESENT
            with _transfer(name, reference, progress, push=False) as finished:
                there = exchange.pull(reference, progress=_counting(progress))
                finished(None)
    except RegistryError as error:
        if error.state != State.CORRUPT:
            raise
        progress(Note(text=f"{error.message}; an older stage will do", warning=True))
        return State.CORRUPT
    return State.PRESENT if there else State.ABSENT


def _refuse_hopeless(name: str, finding: Finding) -> None:
    """What we already know a push would end in. Whether we may write is not known by asking for what is there."""
    hopeless = {State.DOWN, State.TLS, State.RATE_LIMITED, State.BAD_CREDENTIALS}
    if finding.error is not None and finding.state in hopeless:
        with _naming(name):
            raise finding.error


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let a registry's errors say which seed's stage it was."""
    try:
        yield
    except RegistryError as error:
        raise RegistryError(
            f"stage {name!r} was not pushed: {error.message}",
            state=error.state,
            retry_after=error.retry_after,
            hint=error.hint,
            detail=error.detail,
        ) from error


def _announce(cache: Cache, count: int, progress: Progress) -> None:
    """Before the first push to a registry that others can see: what is published, and where."""
    if is_loopback(registry_of(cache.repository)):
        return
    stages = "a stage" if count == 1 else f"{count} stages"
    progress(
        Note(
            text=f"publishing {stages} of instance {cache.definition.instance} to {cache.repository}: database files "
            "with all the data that the seeds load, and the names of the seeds; whoever may read there can read them"
        )
    )


@contextmanager
def _transfer(name: str, reference: Reference, progress: Progress, *, push: bool) -> Iterator[Any]:
    progress(TransferStarted(name=name, registry=registry_of(reference.name), push=push))
    began = time.monotonic()

    def finished(sent: int | None) -> None:
        progress(TransferFinished(name=name, push=push, seconds=time.monotonic() - began, sent=sent))

    yield finished


def _counting(progress: Progress) -> Any:
    def count(done: int, total: int) -> None:
        progress(Transferring(done=done, total=total))

    return count


def _name(cache: Cache, key: CacheKey) -> str:
    names: Mapping[CacheKey | None, str] = {stage.key: stage.name for stage in cache.chain.stages}
    return names.get(key, _CLUSTER)
