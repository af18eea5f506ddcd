"""An engine's own pull and push, with its credentials, mirrors and certificates; we ask before and check after."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pg_ephemeral.backends import registry_access
from pg_ephemeral.backends.base import Exchange, Transferred
from pg_ephemeral.backends.engine.client import MOVE_TIMEOUT, EngineClient
from pg_ephemeral.backends.engine.commands import Arguments, ImageFacts
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.watched import Prompted
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.errors import ProcessError, RegistryError, StageGone
from pg_ephemeral.labels import KEY_LABEL
from pg_ephemeral.oci.endpoint import is_loopback, registry_of, without_secrets
from pg_ephemeral.oci.engine_errors import classify, complaint, has_insisted
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.patience import Deadline, GivenUp, Patience
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.process import Completed

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding

_HINTS: Mapping[State, str] = {
    State.BAD_CREDENTIALS: "log in again: {program} login {registry}",
    State.DENIED: "are you allowed to do this there? {program} login {registry}",
    State.DOWN: "try again later",
    State.HIDDEN: "nothing was pushed there yet, or it wants a login: {program} login {registry}",
    State.NOT_LOGGED_IN: "log in first: {program} login {registry}",
    State.RATE_LIMITED: "log in, or try again later",
    State.TLS: "let {program} know the registry's certificate authority, in its certs.d directory",
}
_NO_REPOSITORY = "some registries want the repository to be made before the first push"

#: Who says something else than TLS; an untrusted certificate never looks like it.
_PLAIN = re.compile("server gave HTTP response to HTTPS client|first record does not look like a TLS handshake")

#: What our own questions cannot settle for a daemon elsewhere, with mirrors, a proxy or plain HTTP of its own.
_UNSETTLED = frozenset({State.DOWN, State.TLS, State.UNKNOWN})

#: Engines try again themselves what is passing in a blob's transfer, and not what is in a manifest's: a registry may
#: fail for all but one of those who send the same manifest at once.
_PATIENCE = Patience(tries=4, pause=0.5)


@contextmanager
def engine_exchange(
    client: EngineClient,
    images: EngineImages,
    platform: str,
    *,
    patience: Patience = _PATIENCE,
    limit: float = MOVE_TIMEOUT,
) -> Iterator[Exchange]:
    """Holds nothing; a context like the others. ``limit`` is how many seconds a pull or a push may take, all tries."""
    yield _Exchange(client, images, Platform.parse(platform), patience, limit)


class _Exchange:
    def __init__(
        self, client: EngineClient, images: EngineImages, platform: Platform, patience: Patience, limit: float
    ) -> None:
        self._client = client
        self._images = images
        self._platform = platform
        self._patience = patience
        self._limit = limit
        #: What could not be asked for: the engine, which has ways of its own, tries once.
        self._unsettled: set[Reference] = set()

    def probe(self, references: Collection[Reference]) -> Mapping[Reference, Finding]:
        findings = registry_access.probe(self._client.dialect.credentials, references)
        for reference, finding in findings.items():
            (self._unsettled.add if self.may_reach(reference, finding) else self._unsettled.discard)(reference)
        return findings

    def may_reach(self, reference: Reference, finding: Finding) -> bool:
        # Nobody has another certificate, or other authorities, on this machine.
        here = finding.state is State.TLS and is_loopback(registry_of(reference.name))
        return finding.state in _UNSETTLED and not here

    def pull(self, reference: Reference, *, progress: Transferred) -> bool:
        progress(0, 0)
        deadline = Deadline.within(self._limit, self._patience)
        if not self._patience_for(reference).insist(lambda: self._fetch(reference, deadline)):
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
        deadline = Deadline.within(self._limit, self._patience)
        self._patience_for(reference).insist(lambda: self._send(reference, deadline), also=(State.CORRUPT,))
        return None

    def _patience_for(self, reference: Reference) -> Patience:
        return replace(self._patience, tries=1) if reference in self._unsettled else self._patience

    def _fetch(self, reference: Reference, deadline: Deadline) -> bool:
        done = self._move("pull", reference, deadline)
        if done.status == 0:
            return True
        state = classify(done.message)
        if state is State.ABSENT:
            return False
        raise self._error("pull", reference, state, done.message)

    def _send(self, reference: Reference, deadline: Deadline) -> None:
        done = self._move("push", reference, deadline)
        if done.status == 0:
            return
        if not self._client.images((self._images.local_name(reference),)):
            raise StageGone(f"stage {reference} is gone from {self._client.dialect.program}")
        raise self._error("push", reference, classify(done.message, pushing=True), done.message)

    def _move(self, verb: str, reference: Reference, deadline: Deadline) -> Completed:
        """Run the engine's verb, with an end; once more without TLS where that is permitted and nobody speaks it."""
        name = self._images.local_name(reference)
        done = self._call((verb, name), reference, deadline)
        plain = self._client.dialect.plain_http
        if done.status != 0 and plain and _PLAIN.search(done.message) and self._may_be_plain(reference):
            done = self._call((verb, *plain, name), reference, deadline)
        return done

    def _call(self, arguments: Arguments, reference: Reference, deadline: Deadline) -> Completed:
        left = deadline.ends - self._patience.clock()
        if left <= 0:
            raise deadline.passed(str(reference))
        try:
            return self._client.move(arguments, timeout=left)
        except Prompted as error:
            raise self._error(arguments[0], reference, State.NOT_LOGGED_IN, "the registry wants a login") from error
        except ProcessError as error:
            if error.status is not None:
                raise
            raise deadline.passed(str(reference)) from error

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
        said = without_secrets(complaint(message)) or "no reason given"
        hint = _NO_REPOSITORY if state is State.ABSENT else _HINTS.get(state)
        kind = GivenUp if has_insisted(message) else RegistryError
        return kind(
            f"{reference}: {program} {verb}: {said}",
            state=state,
            hint=None if hint is None else hint.format(program=program, registry=registry),
        )

    @staticmethod
    def _may_be_plain(reference: Reference) -> bool:
        registry = registry_of(reference.name)
        return is_loopback(registry) or registry in registry_access.insecure_registries()
