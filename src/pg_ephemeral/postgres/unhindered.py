"""Sessions for a purpose of our own: no time limit and no default of the server, a database or a role applies to them.

A connection that applies seeds has none of this: what the user sets is what the seeds get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from pg_ephemeral.errors import ClientError

#: How long a statement of ours may wait for a lock that nothing should hold, in seconds.
LOCK_TIMEOUT: Final = 10.0

_OPTIONS: Final = (
    "-c role=none -c default_transaction_read_only=off -c lock_timeout={lock_timeout}ms -c statement_timeout=0"
)
#: The same for parameters that not every version has, with the first that has them.
_UNLIMITED: Final = (("idle_session_timeout", 140_000), ("transaction_timeout", 170_000))
#: How a server ends a session that one of these gave too little time, and what is left of one that it ended before.
_TIMED_OUT: Final = frozenset({"57P05", "25P04", None})


class Session(Protocol):
    """What it takes of a connection."""

    @property
    def server_version(self) -> int:
        """As the server's ``server_version_num``."""

    def execute(self, sql: str, /) -> None:
        """Run statements. Raises ``ClientError``."""

    def close(self) -> None:
        """Close it."""


_Session = TypeVar("_Session", bound=Session)


def unhindered(connect: Callable[[str], _Session], *, lock_timeout: float) -> _Session:
    """A session that ``connect`` makes with these ``options``, once or twice. ``lock_timeout`` is in seconds.

    Raises ``ClientError``.
    """
    options = _OPTIONS.format(lock_timeout=round(lock_timeout * 1000))
    session = connect(options)
    names = [name for name, since in _UNLIMITED if session.server_version >= since]
    if not names:
        return session
    try:
        session.execute("; ".join(f"SET {name} = 0" for name in names))
    except ClientError as error:
        session.close()
        if error.sqlstate not in _TIMED_OUT:
            raise
        # Even that took too long. Now that the version is known it can be said from the beginning.
        return connect(" ".join([options, *(f"-c {name}=0" for name in names)]))
    except BaseException:
        session.close()
        raise
    return session
