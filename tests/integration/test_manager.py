"""The end-to-end check of the shared cache, run as CI runs it, against a real registry and on every backend."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import engines, machine
from support.documents import ROOT
from support.project import PROGRAM
from support.registry import Registry

_TEST = ("pg-ephemeral", "github-actions", "cache-registry", "test")
#: An engine's first push sends the image of PostgreSQL, too.
_TIMEOUT = 600

BACKENDS = [pytest.param("embedded"), *(pytest.param(name, marks=pytest.mark.needs(name)) for name in machine.ENGINES)]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where nothing may be left, and servers can pass through."""
    with tempfile.TemporaryDirectory(prefix="pge-") as directory:
        path = Path(directory)
        path.chmod(0o711)
        yield path
        assert list(path.iterdir()) == []


def manage(scratch: Path, backend: str, host: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the check as ``manager`` is run, the program on PATH being ours."""
    image = [] if backend == "embedded" else ["--image", machine.IMAGE]
    path = os.pathsep.join([str(Path(PROGRAM[0]).parent), os.environ["PATH"]])
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "MANAGER_"))}
    place = {"PYTHONPATH": str(ROOT / "tools" / "manager"), "PATH": path, "MANAGER_REGISTRY": host}
    return subprocess.run(
        [sys.executable, "-m", "manager", *_TEST, "--backend", backend, "--scratch", str(scratch), *image],
        env={**ours, **place, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )


# acceptance: 103, 104
# fault: W1
@pytest.mark.needs("registry")
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_pushed_is_pulled_and_boots_without_a_seed(registry: Registry, scratch: Path, backend: str):
    done = manage(
        scratch, backend, registry.host, GITHUB_REPOSITORY="Some-Owner/Project", GITHUB_RUN_ID=f"1{os.getpid()}"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The cache can be shared.\n"
    assert done.stderr.splitlines()[-1].endswith("the rows are those that were pushed, no seed was applied")
    repository = "some-owner/project/pg-ephemeral/cache-registry-test"
    assert [one for one in registry.requests() if one[0] == "PUT" and f"/v2/{repository}/manifests/" in one[1]]
    if backend in machine.ENGINES:
        assert engines.images(backend, registry.host) == []


def test_without_a_registry_the_push_is_what_failed(scratch: Path, unused_port: int):
    done = manage(scratch, "embedded", f"127.0.0.1:{unused_port}")
    assert done.returncode == 12
    assert done.stderr.splitlines()[-1] == "error: cache push: exit status 76"
    assert "stage 'the empty cluster' was not pushed" in done.stderr


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and not listened on."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
