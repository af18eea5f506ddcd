"""Push: send the stages that are here and not in the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pg_ephemeral.backends.base import Exchange
from pg_ephemeral.cache import Cache
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.endpoint import is_loopback, registry_of
from pg_ephemeral.oci.state import State
from pg_ephemeral.progress import Note, Progress, silent
from pg_ephemeral.sharing.report import Pushed, PushReport
from pg_ephemeral.sharing.transfer import departing, name_of, require_registry

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding

#: What we already know a push would end in, if it goes the way our question went. Whether we may write is not known by
#: asking for what is there.
_HOPELESS = frozenset({State.DOWN, State.TLS, State.RATE_LIMITED, State.BAD_CREDENTIALS, State.NOT_LOGGED_IN})


def push(cache: Cache, *, tip: bool = False, force: bool = False, progress: Progress = silent) -> PushReport:
    """Send the stages that are here, oldest first, leaving alone what the registry has unless ``force``.

    With ``tip``, the last stage alone. The first failure ends it, naming the stage; what was sent stays, so that the
    next push goes on from there. Raises ``DefinitionError`` without a registry, and ``RegistryError``.
    """
    require_registry(cache)
    here = cache.present()
    keys = [key for key in (cache.chain.keys[-1:] if tip else cache.chain.keys) if key in here]
    stages: list[Pushed] = []
    with cache.backend.exchange() as exchange:
        findings = exchange.probe([cache.reference(key) for key in keys])
        if keys and not any(finding.state is State.PRESENT for finding in findings.values()):
            _announce(cache, len(keys), progress)
        fresh = True
        for key in keys:
            finding = findings[cache.reference(key)]
            if finding.state is not State.PRESENT and not fresh and not force:
                # Others may have pushed it while we were pushing what is before it.
                finding = _asked_again(cache, exchange, key, finding)
            if finding.state is State.PRESENT and not force:
                stages.append(Pushed(name=name_of(cache, key), reference=cache.reference(key), status="present"))
                continue
            stages.append(_send(cache, exchange, key, finding, progress))
            fresh = False
    return PushReport(cache=cache, stages=tuple(stages))


def _asked_again(cache: Cache, exchange: Exchange, key: CacheKey, finding: Finding) -> Finding:
    reference = cache.reference(key)
    return finding if exchange.may_reach(reference, finding) else exchange.probe([reference])[reference]


def _send(cache: Cache, exchange: Exchange, key: CacheKey, finding: Finding, progress: Progress) -> Pushed:
    name, reference = name_of(cache, key), cache.reference(key)
    with _naming(name):
        if finding.error is not None and finding.state in _HOPELESS and not exchange.may_reach(reference, finding):
            raise finding.error
        travelling = departing(name, reference, progress, push=True)
        sent = exchange.push(reference, progress=travelling.count)
        travelling.arrived(sent)
    return Pushed(name=name, reference=reference, status="pushed", sent=sent)


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
