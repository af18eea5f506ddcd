"""Pull: have the newest stage that is here or in the registry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pg_ephemeral.backends.base import Exchange
from pg_ephemeral.cache import Cache
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import RegistryError
from pg_ephemeral.lock import exclusive
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.progress import Note, Progress, Waiting, silent
from pg_ephemeral.sharing.report import Looked, PullReport
from pg_ephemeral.sharing.transfer import departing, instead, name_of, require_registry

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding

_REPAIR = "push it again with --force, or delete it there"


def pull(cache: Cache, *, strict: bool = False, progress: Progress = silent) -> PullReport:
    """Have the newest stage that is here or in the registry. To find none is no failure.

    A stage that is damaged there is passed over for an older one, with a warning; so is one of which the registry does
    not say whether it has it, unless ``strict``. Raises ``DefinitionError`` without a registry, and ``RegistryError``
    when the registry cannot say what it has.
    """
    require_registry(cache)
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
        search = _Search(cache, exchange, progress, strict=strict)
        for key in wanted:
            reference = cache.reference(key)
            state = search.fetch(key, findings[reference])
            looked.append(Looked(name=name_of(cache, key), reference=reference, state=state))
            if state is State.PRESENT:
                pulled = reference
                break
    present = None if newest is None else cache.reference(newest)
    return PullReport(cache=cache, present=present, pulled=pulled, looked=tuple(looked))


def _newer_than(cache: Cache, newest: CacheKey | None) -> tuple[CacheKey, ...]:
    keys = cache.chain.keys
    return tuple(reversed(keys if newest is None else keys[keys.index(newest) + 1 :]))


class _Search:
    """From the newest to the oldest, until one is there."""

    def __init__(self, cache: Cache, exchange: Exchange, progress: Progress, *, strict: bool) -> None:
        self._cache = cache
        self._exchange = exchange
        self._progress = progress
        self._strict = strict
        self._warned = False

    def fetch(self, key: CacheKey, finding: Finding) -> State:
        """Pull one stage if it is there; return how it stands. Raises ``RegistryError`` when that cannot be known."""
        reference = self._cache.reference(key)
        if finding.state is State.ABSENT:
            return State.ABSENT
        if finding.state is not State.PRESENT and not self._exchange.may_reach(reference, finding):
            return self._without(finding.state, finding.error)
        try:
            there = self._get(key)
        except RegistryError as error:
            return self._failed(finding, error)
        return State.PRESENT if there else self._missing(reference, finding)

    def _get(self, key: CacheKey) -> bool:
        reference, name = self._cache.reference(key), name_of(self._cache, key)
        images = self._cache.backend.images
        waiting = partial(self._progress, Waiting(name=name))
        with exclusive(self._cache.backend.lock_file(key), waiting=waiting):
            if images.get([reference]):
                # Another process has just made it, maybe under another name.
                images.tag(reference)
                return True
            travelling = departing(name, reference, self._progress, push=False)
            there = self._exchange.pull(reference, progress=travelling.count)
            if there:
                travelling.arrived()
            return there

    def _failed(self, finding: Finding, error: RegistryError) -> State:
        if error.state == State.HIDDEN and finding.state is State.PRESENT:
            raise RegistryError(error.message, state=State.DENIED, hint=error.hint, detail=error.detail) from error
        return self._without(State(error.state), error)

    def _missing(self, reference: Reference, finding: Finding) -> State:
        """It was there, and there was nothing to pull: somebody has deleted it meanwhile, or parts of it are gone."""
        again = self._exchange.probe([reference])[reference] if finding.state is State.PRESENT else None
        if again is None or again.state is not State.PRESENT:
            return State.ABSENT
        damaged = RegistryError(
            f"{reference} is damaged: its tag is there, and what it names is gone",
            state=State.CORRUPT,
            hint=_REPAIR,
        )
        return self._without(State.CORRUPT, damaged)

    def _without(self, state: State, error: RegistryError | None) -> State:
        """Go on to an older stage, if one may do."""
        if error is None:
            return state
        if state is State.CORRUPT:
            self._progress(Note(text=instead(error, "an older stage will do", _REPAIR), warning=True))
            return state
        if state is not State.HIDDEN or self._strict:
            raise error
        if not self._warned:
            self._warned = True
            self._progress(Note(text=instead(error, "it counts as absent"), warning=True))
        return state
