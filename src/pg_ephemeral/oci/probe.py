"""Which of several images a registry has: one round of questions, all at once, with an end.

What the stages of a chain are called is known beforehand, so that a pull can ask for all of them before it begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from msgspec import Struct

from pg_ephemeral.errors import PgEphemeralError, RegistryError
from pg_ephemeral.oci.endpoint import without_secrets
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.reference import Name, Reference
from pg_ephemeral.oci.registry import RegistryOptions, RegistryStore
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.transport import Timeouts

__all__ = ["Finding", "probe"]

_JOBS = 8


class Finding(Struct, frozen=True, kw_only=True):
    """What is known of one image: its descriptor when it is present, else the error that says more, if there is one."""

    state: State
    descriptor: Descriptor | None = None
    error: RegistryError | None = None


def probe(
    references: Collection[Reference],
    options: RegistryOptions | None = None,
    *,
    limit: float = 20.0,
    settle: bool = True,
) -> Mapping[Reference, Finding]:
    """Ask for all of them; no error is raised, and within about ``limit`` seconds there is a finding for each.

    Some registries answer alike for what is absent and for what we may not see. With ``settle``, if we have credentials
    that may write to the repository, absent it is.
    """
    given = options or RegistryOptions()
    hurried = replace(
        given,
        patience=replace(
            given.patience, tries=min(given.patience.tries, 3), limit=min(given.patience.limit, limit / 2)
        ),
        timeouts=Timeouts(connect=min(given.timeouts.connect, limit / 2), idle=min(given.timeouts.idle, limit / 2)),
    )
    round_ = _Round(references, RegistryStore(hurried), settle=settle)
    return round_.run(limit)


class _Round:
    """The threads of one round are daemons: one that hangs in a name look-up keeps neither us nor the interpreter."""

    def __init__(self, references: Collection[Reference], store: RegistryStore, *, settle: bool) -> None:
        self._open = list(dict.fromkeys(references))
        self._store = store
        self._settle = settle
        self._guard = threading.Lock()
        self._found: dict[Reference, Finding] = {}
        self._writable: dict[Name, _Once] = {}

    def run(self, limit: float) -> Mapping[Reference, Finding]:
        asked = tuple(self._open)
        end = time.monotonic() + limit
        threads = [threading.Thread(target=self._work, name="probe", daemon=True) for _ in asked[:_JOBS]]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            with self._guard:
                self._open.clear()
                return {reference: self._found.get(reference) or _late(reference, limit) for reference in asked}
        finally:
            # Those who still wait for an answer wait no longer, and what they find is not asked for any more.
            self._store.close()

    def _work(self) -> None:
        while True:
            with self._guard:
                if not self._open:
                    return
                reference = self._open.pop()
            finding = self._ask(reference)
            with self._guard:
                self._found[reference] = finding

    def _ask(self, reference: Reference) -> Finding:
        try:
            return self._found_of(reference)
        except RegistryError as error:
            return Finding(state=State(error.state), error=error)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is what was found
            return _unforeseen(reference, error)

    def _found_of(self, reference: Reference) -> Finding:
        try:
            descriptor = self._store.resolve(reference)
        except RegistryError as error:
            if self._settle and error.state == State.HIDDEN and self._may_write(reference.name):
                return Finding(state=State.ABSENT)
            raise
        return Finding(state=State.ABSENT if descriptor is None else State.PRESENT, descriptor=descriptor)

    def _may_write(self, repository: Name) -> bool:
        """Asked once for a repository, whichever of its stages comes first; the others wait for the answer."""
        with self._guard:
            writable = self._writable.setdefault(repository, _Once())
        with writable.guard:
            if writable.answer is None:
                try:
                    writable.answer = self._store.logged_in(repository) and self._store.may_write(repository)
                except RegistryError:
                    writable.answer = False
            return writable.answer


class _Once:
    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.answer: bool | None = None


def _unforeseen(reference: Reference, error: Exception) -> Finding:
    """What is no answer of the registry's, but a fault on our side."""
    hint = error.hint if isinstance(error, PgEphemeralError) else None
    words = error.message if isinstance(error, PgEphemeralError) else without_secrets(repr(error))
    message = f"{reference}: the registry cannot be asked: {words}"
    return Finding(state=State.UNKNOWN, error=RegistryError(message, state=State.UNKNOWN, hint=hint))


def _late(reference: Reference, limit: float) -> Finding:
    error = RegistryError(f"{reference}: no answer from the registry within {limit:g} s", state=State.DOWN)
    return Finding(state=State.DOWN, error=error)
