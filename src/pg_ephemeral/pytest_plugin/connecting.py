"""Whether the fixture that is set up next connects to the clone that is taken now.

Only then may a connection that was made ahead come with it: with anything in between, a fixture that copies or drops
its database would meet a session that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pg_ephemeral.databases import Kind

if TYPE_CHECKING:
    import pytest

    from pg_ephemeral.pytest_plugin.use import Use

_CONNECTS = {"pg_connection": Kind.SYNC, "pg_async_connection": Kind.ASYNC}


@contextmanager
def announced(request: pytest.FixtureRequest, use: Use, kind: Kind) -> Iterator[None]:
    """``pg_database`` is set up next, if it is not yet, and at once somebody connects to it."""
    use.connecting = kind if _is_ours(request) else None
    try:
        yield
    finally:
        use.connecting = None


def next_connects(request: pytest.FixtureRequest, use: Use) -> Kind | None:
    """How whoever comes right after ``pg_database`` connects; None when that is not known, or does something else."""
    kind, use.connecting = use.connecting, None
    if kind is not None or not _is_ours(request):
        return kind
    missing = [name for name in request.fixturenames if name not in request.node.funcargs]
    return _CONNECTS.get(missing[1]) if missing[:1] == ["pg_database"] and len(missing) > 1 else None


def _is_ours(request: pytest.FixtureRequest) -> bool:
    """Whether nobody has put a fixture of that name on top of ours, which does who knows what."""
    known = getattr(getattr(request.node, "_fixtureinfo", None), "name2fixturedefs", {})
    return len(known.get("pg_database", ())) == 1
