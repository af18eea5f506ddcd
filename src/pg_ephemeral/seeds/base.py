"""What every kind of seed is: a declaration that is loaded, then applied.

*Loading* reads the inputs, which make the cache key; it never needs a server. *Applying* changes a running server. A
kind is a frozen struct with these two methods; the table of kinds is in the package's ``__init__``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue, SeedFailed
from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.process import Invocation

#: What a result depends on, as canonical JSON can hold it: text, numbers, lists and mappings of these.
Inputs: TypeAlias = Mapping[str, Any]

_NAME = re.compile(r"[a-z0-9-]+")
_NAME_BYTES = 63


def check_name(text: str, *, what: str, limit: int | None = None) -> str:
    """Return ``text`` if it is a name of lower-case letters, digits and inner dashes; else raise ``InvalidValue``.

    Kinds: ``empty``, ``too-long``, ``starts-with-dash``, ``ends-with-dash``, ``invalid-character``.
    """
    hint = "use lower-case letters, digits and dashes, as in create-users"
    if not text:
        raise InvalidValue(f"{what} is empty", kind="empty", hint=hint)
    if limit is not None and len(text) > limit:
        raise InvalidValue(f"{what} {text!r} is longer than {limit} characters", kind="too-long")
    if text.startswith("-"):
        raise InvalidValue(f"{what} {text!r} starts with a dash", kind="starts-with-dash", hint=hint)
    if text.endswith("-"):
        raise InvalidValue(f"{what} {text!r} ends with a dash", kind="ends-with-dash", hint=hint)
    if not _NAME.fullmatch(text):
        wrong = next(character for character in text if not _NAME.fullmatch(character))
        raise InvalidValue(f"{what} {text!r} must not contain {wrong!r}", kind="invalid-character", hint=hint)
    return text


class SeedName(str):
    """The name of a seed, unique within its instance: 1 to 63 of ``a-z``, ``0-9`` and inner dashes."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check ``text``; raises ``InvalidValue``."""
        return super().__new__(cls, check_name(text, what="seed name", limit=_NAME_BYTES))


def check_timeout(seconds: float | None) -> None:
    """Refuse a time in which nothing can be done. Raises ``InvalidValue`` of kind ``not-positive``."""
    if seconds is not None and not seconds > 0:
        raise InvalidValue("the timeout of a seed must be more than 0 s", kind="not-positive")


class LoadContext(Struct, frozen=True, kw_only=True):
    """Where and how seeds are loaded. ``directory`` is the config file's: relative paths and programs start there.

    ``cacheable`` is False once an earlier seed broke the chain: no key is needed then, so no key program is run.
    """

    directory: Path
    cacheable: bool = True


@runtime_checkable
class Seed(Protocol):
    """A declared step."""

    @property
    def name(self) -> SeedName:
        """Its name within the instance; a label, not an input of the cache key."""
        ...

    @property
    def kind(self) -> str:
        """The ``type`` shown by ``cache status``."""
        ...

    @property
    def timeout(self) -> float | None:
        """How long applying it may take, in seconds; None for as long as it takes. Not an input of the key either."""
        ...

    def load(self, context: LoadContext) -> LoadedSeed:
        """Read the inputs. Raises ``SeedLoadError`` naming the seed."""
        ...


class LoadedSeed(Protocol):
    """A seed whose inputs are known."""

    @property
    def seed(self) -> Seed:
        """The declaration."""
        ...

    @property
    def inputs(self) -> Inputs | None:
        """What the result depends on; None means that it must not be cached."""
        ...

    @property
    def key_kind(self) -> str:
        """The kind as it enters the key; two spellings of one thing share it."""
        ...

    @property
    def needs_build(self) -> bool:
        """Whether it runs inside an image while PostgreSQL is down, which only backends that build images can do."""
        ...

    @property
    def reads_files(self) -> bool:
        """Whether its client program reads files in the config file's directory by itself."""
        ...

    def apply(self, target: Target) -> None:
        """Change the running server. Raises ``SeedFailed`` naming seed, file, line, statement, server message."""
        ...


class Target(Protocol):
    """The running server a seed is applied to."""

    @property
    def conninfo(self) -> Conninfo:
        """The superuser's connection from this process, by the fastest way there is."""
        ...

    @property
    def directory(self) -> Path:
        """Where programs run: the config file's directory."""
        ...

    def client_environment(self) -> dict[str, str]:
        """The whole environment of a host program: ours without any libpq variable, plus the server's."""
        ...

    def tool(self, name: Literal["psql"], *arguments: str) -> Invocation:
        """One of PostgreSQL's own programs, connected to the server as its superuser, reading our stdin."""
        ...

    def feed(
        self, name: Literal["psql"], *arguments: str, text: bytes, line: Take, timeout: float | None
    ) -> int | None:
        """Run such a program on a short text of SQL alone, where that is faster than by ``tool``; return its status.

        None where it is not: then nothing was run. ``line`` gets each line of its stderr. Raises ``Overdue`` when it
        has not ended after ``timeout`` seconds, and ``ServerError`` when it is gone with the server.
        """
        ...

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:
        """Run a script as root where the server's files are, with the server stopped.

        Raises ``SeedFailed``, and ``Overdue`` if it has not ended after ``timeout`` seconds.
        """
        ...


def overdue(seed: Seed) -> SeedFailed:
    """The failure of a seed whose time was over."""
    limit = f"{seed.timeout:g} s, its timeout" if seed.timeout is not None else "its time"
    return SeedFailed(
        f"seed {seed.name!r} did not end within {limit}",
        seed=seed.name,
        hint="raise its timeout if it only needs longer",
    )
