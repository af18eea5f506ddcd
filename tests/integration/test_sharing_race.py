"""Many pushes of one image at once, by an engine: a registry may believe that it got half of the manifest."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.exchange import engine_exchange
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.labels import KEY_LABEL
from pg_ephemeral.oci.reference import Reference
from support import bad_registry, engines
from support import registry as support
from support.bad_registry import Reply, once
from support.registry import Registry
from support.sites import KINDS, PROCESSES, digests

pytestmark = pytest.mark.needs("registry")

_DIALECTS = {"docker": DOCKER, "podman": PODMAN}
_ROUNDS = 8


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with support.running(tmp_path / "registry") as running:
        yield running


@contextmanager
def small_image(kind: str, directory: Path, host: str) -> Iterator[Reference]:
    """An image like no other, labelled as a stage."""
    key = secrets.token_hex(32)
    with tarfile.open(directory / "image.tar", "w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(key)
        tar.addfile(entry, io.BytesIO(key.encode()))
    reference = Reference.parse(f"{host}/race/{kind}:{key}")
    engines.call(kind, "import", "--change", f"LABEL {KEY_LABEL}={key}", str(directory / "image.tar"), str(reference))
    try:
        yield reference
    finally:
        engines.call(kind, "image", "rm", str(reference))


def push(kind: str, reference: Reference, together: threading.Barrier | None = None) -> None:
    client = EngineClient(dialect=_DIALECTS[kind])
    with engine_exchange(client, EngineImages(client), "linux/amd64") as exchange:

        def ready(_done: int, _total: int) -> None:
            if together is not None:
                together.wait(60)

        exchange.push(reference, progress=ready)


# fault: W4
@pytest.mark.parametrize("kind", KINDS[1:])
def test_many_pushes_of_one_image_at_once_succeed(kind: str, registry: Registry, tmp_path: Path) -> None:
    together = threading.Barrier(PROCESSES)
    for _ in range(_ROUNDS):
        with small_image(kind, tmp_path, registry.host) as reference, ThreadPoolExecutor(PROCESSES) as pool:
            for pushed in [pool.submit(push, kind, reference, together) for _ in range(PROCESSES)]:
                pushed.result()
            assert len(digests(registry, [str(reference)])) == 1


# fault: W4
@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_manifest_that_a_registry_got_wrong_is_pushed_again(kind: str, tmp_path: Path) -> None:
    """As distribution's words have it, which a test cannot make it say whenever it wants to."""
    codes = [{"code": "DIGEST_INVALID"}, {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]
    half = Reply(400, json.dumps({"errors": codes}).encode(), {"Content-Type": "application/json"})
    with bad_registry.running() as registry, small_image(kind, tmp_path, registry.host) as reference:
        registry.on("PUT", ".*/manifests/.*", once(half, half))
        push(kind, reference)
        assert (f"race/{kind}", str(reference.tag)) in registry.manifests
        assert len(registry.asked("PUT", ".*/manifests/.*")) == 3
