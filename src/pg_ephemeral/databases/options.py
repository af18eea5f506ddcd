"""What a caller says about clones, and what it is told about them: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.postgres.clones import Strategy
from pg_ephemeral.postgres.names import bounded, identifier

#: What a token and a counter leave of an identifier's 63 bytes.
_PREFIX_BYTES: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How clones are made and kept ready. Raises ``InvalidValue`` for numbers below their least, and long prefixes.

    ``ready`` is how many clones are kept ready in the background; with 0 they are made on demand. ``strategy`` None
    lets the pool find the fastest. ``connections`` is how many connections to the server the pool has at most, of
    which one is kept for a clone that is handed out connected; with 0 it has one at a time, none when it has nothing to
    do, and clears away only for room. ``disk`` is how many bytes the
    clones may have that nobody uses, ready or done with; None derives it from the free disk, which is shared with the
    pools of so many ``processes``, this one included. Names are ``<prefix>_<token of this process>_<number>``.
    ``tablespace`` is the name of one to make clones in, such as one in memory; None leaves them where the seeded
    database is.
    """

    ready: int = 2
    strategy: Strategy | None = None
    connections: int = 4
    disk: int | None = None
    prefix: str = "test"
    tablespace: str | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        """Check each part."""
        for what, value, least in (
            ("ready", self.ready, 0),
            ("connections", self.connections, 0),
            ("disk", self.disk, 0),
            ("processes", self.processes, 1),
        ):
            if value is not None and value < least:
                raise InvalidValue(f"{what} is {value}, and the least is {least}", kind="too-small")
        if self.tablespace is not None:
            identifier(self.tablespace, what="tablespace")
        bounded(self.prefix, what="prefix of database names", least=1, most=_PREFIX_BYTES)

    @property
    def connects(self) -> bool:
        """Whether a clone may be connected to before it is handed out."""
        return self.ready > 0 and self.connections > 1

    @property
    def hands(self) -> int:
        """How many connections are left for work; with 0 there is one at a time."""
        return self.connections - 1 if self.connects else self.connections


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What clones have cost this process so far; times are in seconds.

    ``template``: until the template was there. ``clones`` made, and ``copying`` them in the background. ``takes``:
    databases handed out; callers ``waited`` for them, all in all, and ``longest`` at most. ``strategy``: what clones
    are made with now, or None before the first.
    """

    template: float = 0.0
    clones: int = 0
    copying: float = 0.0
    takes: int = 0
    waited: float = 0.0
    longest: float = 0.0
    strategy: str | None = None
