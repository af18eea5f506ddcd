"""Calls of a container engine's command: run it, read it, and turn its complaints into errors of ours."""

from __future__ import annotations

import os
import re
import time

from msgspec import Struct

from pg_ephemeral.backends.engine.commands import (
    Arguments,
    ImageFacts,
    inspect_images,
    is_absent,
    is_being_removed,
    is_no_container,
    read_images,
    remove,
)
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.watched import Prompted, watched
from pg_ephemeral.errors import BackendError, ProcessError
from pg_ephemeral.oci.endpoint import registry_of, without_secrets
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.process import Begun, Completed, Invocation, capture

#: For calls that only look or tag, in seconds: beyond it the engine is stuck.
LOOK_TIMEOUT = 60.0
#: For calls that move a whole image.
MOVE_TIMEOUT = 1800.0

#: How long an engine may take for a removal that it has begun itself, and how long until it is asked again.
_REMOVED_WITHIN = 10.0
_AGAIN = 0.05

_PROMPT = re.compile(rb"Username(?: \([^\n]*\))?:|Password:")


class EngineClient(Struct, frozen=True, kw_only=True):
    """One engine's command, as this process's user may use it."""

    dialect: Dialect

    def try_call(self, arguments: Arguments, *, timeout: float = LOOK_TIMEOUT) -> Completed:
        """Run it and return what it said, whatever its status. Raises ``ProcessError``."""
        return capture(self.invocation(arguments), timeout=timeout)

    def begin(self, arguments: Arguments) -> Begun:
        """Run it beside what we do until we want its answer. Raises ``ProcessError``."""
        return Begun(self.invocation(arguments))

    def call(self, arguments: Arguments, *, timeout: float = LOOK_TIMEOUT) -> bytes:
        """Run it and return its stdout. Raises ``BackendError`` with the engine's words, and ``ProcessError``."""
        done = self.try_call(arguments, timeout=timeout)
        if done.status != 0:
            raise self.error(arguments, done.message)
        return done.stdout

    def images(self, names: tuple[str, ...]) -> tuple[ImageFacts, ...]:
        """Those of these images that are there, in one call. Raises ``BackendError``."""
        return read_images(self.describe(names)) if names else ()

    def describe(self, names: tuple[str, ...]) -> bytes:
        """The same as the engine writes it."""
        return self.described(names, self.try_call(inspect_images(names)))

    def described(self, names: tuple[str, ...], done: Completed) -> bytes:
        """The same of a call that was made for it. Raises ``BackendError``."""
        arguments = inspect_images(names)
        if done.status != 0 and not is_absent(done.message):
            raise self.error(arguments, done.message)
        return done.stdout

    def remove_container(self, name: str) -> bool:
        """Remove it, running or not, with its volumes; whether it is not there any more. Never raises."""
        end = time.monotonic() + _REMOVED_WITHIN
        while True:
            try:
                done = self.try_call(remove(name))
            except ProcessError:
                return False
            if done.status == 0 or is_no_container(done.message):
                return True
            # As it does when the container's own client was killed.
            if not is_being_removed(done.message) or time.monotonic() > end:
                return False
            time.sleep(_AGAIN)

    def pull(self, name: str) -> None:
        """Fetch an image, showing the engine's own progress. Raises ``BackendError``."""
        from pg_ephemeral.oci.engine_errors import complaint

        registry = registry_of(Reference.parse(name).name)
        hint = "check the name and the network, or pull or load the image by other means first"
        try:
            done = self.move(("pull", name), timeout=MOVE_TIMEOUT, show=True)
            said = complaint(done.message) or f"status {done.status}"
        except Prompted:
            said, hint = "the registry wants a login", f"log in first: {self.dialect.program} login {registry}"
        except ProcessError as error:
            if error.status is not None:
                raise
            said = error.message
        else:
            if done.status == 0:
                return
        raise BackendError(
            f"image {name} is not here and {self.dialect.program} cannot pull it: {without_secrets(said)}", hint=hint
        )

    def move(self, arguments: Arguments, *, timeout: float, show: bool = False) -> Completed:
        """Run a pull or a push, whose progress is shown on our stderr if that is wanted, and return what it said.

        In English. Raises ``ProcessError``, and ``Prompted`` when it asks for a login: some engines' clients do that
        without anybody to ask, and for ever.
        """
        invocation = self.dialect.invocation(arguments, env={**os.environ, "LC_ALL": "C"})
        return watched(invocation, timeout=timeout, prompt=_PROMPT, shown=show)

    def invocation(self, arguments: Arguments) -> Invocation:
        """A call with this process's environment, which tells the engine's command where its engine is."""
        return self.dialect.invocation(arguments, env=dict(os.environ))

    def error(self, arguments: Arguments, message: str) -> BackendError:
        """What a failed call means."""
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        said = lines[-1] if lines else "it said nothing"
        return BackendError(
            f"{self.dialect.program} {' '.join(arguments[:2])}: {said}",
            hint=self.dialect.start_hint,
            detail="\n".join(lines[:-1]) or None,
        )
