"""Calls of a container engine's command: run it, read it, and turn its complaints into errors of ours."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pg_ephemeral.backends.engine.commands import (
    Arguments,
    ImageFacts,
    is_absent,
    is_no_container,
    read_images,
    remove,
)
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.errors import BackendError, ProcessError
from pg_ephemeral.process import Completed, Invocation, capture, guarded

#: For calls that only look or tag, in seconds: beyond it the engine is stuck.
LOOK_TIMEOUT = 60.0
#: For calls that move a whole image.
MOVE_TIMEOUT = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineClient:
    """One engine's command, as this process's user may use it."""

    dialect: Dialect

    def try_call(self, arguments: Arguments, *, timeout: float = LOOK_TIMEOUT) -> Completed:
        """Run it and return what it said, whatever its status. Raises ``ProcessError``."""
        return capture(self.invocation(arguments), timeout=timeout)

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
        arguments = ("image", "inspect", *names)
        done = self.try_call(arguments)
        if done.status != 0 and not is_absent(done.message):
            raise self.error(arguments, done.message)
        return done.stdout

    def remove_container(self, name: str) -> bool:
        """Remove it, running or not, with its volumes; whether it is not there any more. Never raises."""
        try:
            done = self.try_call(remove(name))
        except ProcessError:
            return False
        return done.status == 0 or is_no_container(done.message)

    def pull(self, name: str) -> None:
        """Fetch an image, showing the engine's own progress. Raises ``BackendError``."""
        complaints: list[str] = []
        arguments = ("pull", name)
        status = guarded(
            self.invocation(arguments), line=lambda line: complaints.append(line.decode(errors="replace").strip())
        )
        if status != 0:
            said = "; ".join(filter(None, complaints[-3:])) or f"status {status}"
            raise BackendError(
                f"image {name} is not here and {self.dialect.program} cannot pull it: {said}",
                hint="check the name and the network, or pull or load the image by other means first",
            )

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
