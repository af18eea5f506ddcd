"""What holder and members say to each other: JSON, a line each. And the definition, which goes to a new holder's stdin.

A member that connects is answered once, as soon as there is something to say: ``{"ready": …}`` or ``{"error": …}``.
It may then say ``{"keep": …, "limit": …, "minutes": …}`` and is answered ``{"kept": …}``; it takes its leave by closing
its side. The holder closes the other side, for the last member only when the server is gone.
"""

from __future__ import annotations

import copyreg
import json
import pickle
import socket
from types import MappingProxyType
from typing import Any, TypeAlias

from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import PgEphemeralError, ServerError

Message: TypeAlias = dict[str, Any]

_CHUNK = 65536


class Lines:
    """The messages that come over a socket. With ``buffer``, so that what has come of the next one is kept."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def read(self) -> Message | None:
        """The next message, waiting for it; None at the end. Raises ``OSError``."""
        while (message := self.take()) is None:
            chunk = self.connection.recv(_CHUNK)
            if not chunk:
                return None
            self._buffer += chunk
        return message

    def feed(self) -> bool:
        """Read what there is; False at the end. Raises ``OSError``."""
        chunk = self.connection.recv(_CHUNK)
        self._buffer += chunk
        return bool(chunk)

    def take(self) -> Message | None:
        """The next message of what was read, or None."""
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return None
        self._buffer = rest
        message: Message = json.loads(line)
        return message


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message).encode() + b"\n"


def error_message(error: PgEphemeralError) -> Message:
    """An error as every member is told it."""
    return {"error": {"message": error.message, "hint": error.hint, "detail": error.detail}}


def to_error(message: Message) -> ServerError:
    """The error again, in the words it was reported in."""
    said = message["error"]
    return ServerError(said["message"], hint=said["hint"], detail=said["detail"])


def pack(definition: Definition) -> bytes:
    """A definition for a holder that we start. Raises ``ServerError`` for one with a seed that cannot be sent."""
    try:
        return pickle.dumps(definition)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ServerError(
            f"the definition cannot be sent to another process: {error}",
            hint="a server for several workers is started in a process of its own; use seeds of pg_ephemeral.seeds",
        ) from error


def unpack(content: bytes) -> Definition:
    """What ``pack`` gave."""
    definition = pickle.loads(content)  # noqa: S301 -- our own parent wrote it, to a pipe that only the two of us have
    if not isinstance(definition, Definition):
        raise TypeError(f"{definition!r} is no definition")
    return definition


def _frozen(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


def _thawed(proxy: MappingProxyType[Any, Any]) -> tuple[Any, tuple[dict[Any, Any]]]:
    return _frozen, (dict(proxy),)


copyreg.pickle(MappingProxyType, _thawed)
