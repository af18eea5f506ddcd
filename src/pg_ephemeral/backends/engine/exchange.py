"""An engine's own pull and push, with its credentials, mirrors and certificates; we ask before and check after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pg_ephemeral.backends import registry_access
from pg_ephemeral.backends.base import Exchange, Transferred
from pg_ephemeral.backends.engine.client import MOVE_TIMEOUT, EngineClient
from pg_ephemeral.backends.engine.commands import Arguments, ImageFacts
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.errors import ProcessError, RegistryError, StageGone
from pg_ephemeral.labels import KEY_LABEL
from pg_ephemeral.oci.endpoint import is_loopback, registry_of
from pg_ephemeral.oci.engine_errors import classify
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.patience import Patience
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.process import Completed

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding

_HINTS: Mapping[State, str] = {
    State.BAD_CREDENTIALS: "log in again: {program} login {registry}",
    State.DENIED: "are you allowed to do this there? {program} login {registry}",
    State.DOWN: "try again later",
    State.NOT_LOGGED_IN: "log in first: {program} login {registry}",
    State.RATE_LIMITED: "log in, or try again later",
    State.TLS: "let {program} know the registry's certificate authority, in its certs.d directory",
}

#: Engines try again themselves what is passing in a blob's transfer, and not what is in a manifest's: a registry may
#: fail for all but one of those who send the same manifest at once.
_PATIENCE = Patience(tries=4, pause=0.5)


@contextmanager
def engine_exchange(client: EngineClient, images: EngineImages, platform: str) -> Iterator[Exchange]:
    """Holds nothing; a context like the others."""
    yield _Exchange(client, images, Platform.parse(platform))


class _Exchange:
    def __init__(self, client: EngineClient, images: EngineImages, platform: Platform) -> None:
        self._client = client
        self._images = images
        self._platform = platform

    def probe(self, references: Collection[Reference]) -> Mapping[Reference, Finding]:
        return registry_access.probe(self._client.dialect.credentials, references)

    def pull(self, reference: Reference, *, progress: Transferred) -> bool:
        progress(0, 0)
        if not _PATIENCE.insist(lambda: self._fetch(reference)):
            return False
        self._images.forget(key_of(reference))
        found = self._client.images((self._images.local_name(reference),))
        if not found:
            raise RegistryError(f"{reference} was pulled but is not there", state=State.UNKNOWN)
        self._check(reference, found[0])
        return True

    def push(self, reference: Reference, *, progress: Transferred) -> int | None:
        self._images.tag(reference)
        progress(0, 0)
        _PATIENCE.insist(lambda: self._send(reference))
        return None

    def _fetch(self, reference: Reference) -> bool:
        done = self._move("pull", reference)
        if done.status == 0:
            return True
        state = classify(done.message)
        if state.is_miss:
            return False
        raise self._error("pull", reference, state, done.message)

    def _send(self, reference: Reference) -> None:
        done = self._move("push", reference)
        if done.status == 0:
            return
        if not self._client.images((self._images.local_name(reference),)):
            raise StageGone(f"stage {reference} is gone from {self._client.dialect.program}")
        raise self._error("push", reference, classify(done.message, pushing=True), done.message)

    def _move(self, verb: str, reference: Reference) -> Completed:
        """Run the engine's verb, with an end; once more without TLS where that is permitted and it asks for it."""
        name = self._images.local_name(reference)
        done = self._call((verb, name), reference)
        plain = self._client.dialect.plain_http
        if done.status != 0 and plain and classify(done.message) is State.TLS and self._may_be_plain(reference):
            done = self._call((verb, *plain, name), reference)
        return done

    def _call(self, arguments: Arguments, reference: Reference) -> Completed:
        try:
            return self._client.try_call(arguments, timeout=MOVE_TIMEOUT)
        except ProcessError as error:
            if error.status is not None:
                raise
            raise RegistryError(f"{reference}: {error.message}", state=State.DOWN, hint="try again later") from error

    def _check(self, reference: Reference, facts: ImageFacts) -> None:
        """What was pulled is what was asked for, or goes again."""
        said = facts.labels.get(KEY_LABEL)
        wrong = None
        if said != key_of(reference):
            wrong = f"it is labelled as stage {said}" if said else "it is no stage of pg-ephemeral"
        elif not self._platform.runs(Platform.parse(facts.platform)):
            wrong = f"it is for {facts.platform}, and this is {self._platform}"
        if wrong is not None:
            self._images.forget(key_of(reference))
            self._client.try_call(("image", "rm", self._images.local_name(reference)))
            raise RegistryError(
                f"{reference}: {wrong}", state=State.CORRUPT, hint="something else was pushed under its tag"
            )

    def _error(self, verb: str, reference: Reference, state: State, message: str) -> RegistryError:
        program, registry = self._client.dialect.program, registry_of(reference.name)
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        said = lines[-1] if lines else "no reason given"
        hint = _HINTS.get(state)
        return RegistryError(
            f"{reference}: {program} {verb}: {said}",
            state=state,
            hint=None if hint is None else hint.format(program=program, registry=registry),
        )

    @staticmethod
    def _may_be_plain(reference: Reference) -> bool:
        registry = registry_of(reference.name)
        return is_loopback(registry) or registry in registry_access.insecure_registries()
