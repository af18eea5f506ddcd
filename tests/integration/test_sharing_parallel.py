"""Many processes pull and push one chain at once: nobody fails, and there is one result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import registry as support
from support.registry import Registry
from support.sites import digests, project, salted, share_at_once

pytestmark = pytest.mark.needs("registry")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with support.running(tmp_path / "registry") as running:
        yield running


def test_many_processes_share_one_chain_at_once(registry: Registry, tmp_path: Path) -> None:
    share_at_once("embedded", registry, tmp_path)


def test_a_killed_push_is_taken_up_by_the_next(registry: Registry, tmp_path: Path) -> None:
    salt = salted()
    made = project("embedded", tmp_path, registry, salt)
    instance = f"share-{salt}"
    made.ok("--instance", instance, "cache", "populate")
    with made.start("--instance", instance, "cache", "push") as running, registry.logged:
        assert registry.logged.wait_for(lambda: any("/blobs/uploads/" in line for line in registry.log), 60)
        running.kill()
        running.wait()
    document = made.json("--instance", instance, "cache", "push", "--json")
    references = [stage["cache_image"] for stage in document["stages"]]
    assert len(digests(registry, references)) == 3
    made.ok("--instance", instance, "run-env", "true")
    assert list(made.cache.glob("embedded/*/ingest/*")) == [], "what the killed one packed is swept away"
