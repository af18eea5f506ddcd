"""What engines call stages, and which of their images are stages of ours. Engines are played by a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.images import EngineImages
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.oci.reference import Name, Reference

DIALECTS = [pytest.param(DOCKER, id="docker"), pytest.param(PODMAN, id="podman")]
KEY = "ab" * 32


def images(dialect: Dialect) -> EngineImages:
    return EngineImages(EngineClient(dialect=dialect))


@pytest.mark.parametrize(
    ("repository", "docker", "podman"),
    [
        ("pg-ephemeral/main", "pg-ephemeral/main", "localhost/pg-ephemeral/main"),
        ("ghcr.io/owner/app", "ghcr.io/owner/app", "ghcr.io/owner/app"),
        ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("docker.io/owner/app", "owner/app", "docker.io/owner/app"),
        ("index.docker.io/owner/app", "owner/app", "docker.io/owner/app"),
        ("docker.io/stages", "stages", "docker.io/library/stages"),
        ("docker.io/library/stages", "stages", "docker.io/library/stages"),
        ("index.docker.io/stages", "stages", "docker.io/library/stages"),
        ("docker.io/library/a/b", "library/a/b", "docker.io/library/a/b"),
        ("registry-1.docker.io/owner/app", "registry-1.docker.io/owner/app", "registry-1.docker.io/owner/app"),
    ],
)
def test_stages_are_called_as_the_engine_lists_them(repository: str, docker: str, podman: str) -> None:
    reference = Reference.parse(f"{repository}:{KEY}")
    assert images(DOCKER).local_name(reference) == f"{docker}:{KEY}"
    assert images(PODMAN).local_name(reference) == f"{podman}:{KEY}"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory


def play(directory: Path, dialect: Dialect, name: str, **changes: object) -> EngineImages:
    """An engine with one image."""
    labels = {"pg-ephemeral.key": KEY, "pg-ephemeral.platform": "linux/amd64"}
    image = {"Id": "1", "Os": "linux", "Architecture": "amd64", "RepoTags": [name], "Config": {"Labels": labels}}
    (directory / "image.json").write_text(json.dumps([{**image, **changes}]))
    program = directory / dialect.program
    program.write_text(f"#!/bin/sh\ncase $2 in inspect) exec cat {directory}/image.json ;; ls) echo {name} ;; esac\n")
    program.chmod(0o755)
    return images(dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("repository", ["index.docker.io/owner/stages", "docker.io/stages", "ghcr.io/owner/stages"])
def test_what_is_under_the_engines_own_name_is_listed_under_ours(
    engine: Path, dialect: Dialect, repository: str
) -> None:
    reference = Reference.parse(f"{repository}:{KEY}")
    store = play(engine, dialect, images(dialect).local_name(reference))
    assert [image.reference for image in store.list(Name.parse(repository))] == [reference]
    assert list(store.get([reference])) == [reference]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"Architecture": "s390x"}, False),
        ({"Os": "windows"}, False),
        ({"Config": {"Labels": {"pg-ephemeral.key": KEY}}}, True),
        ({"Config": {"Labels": {"pg-ephemeral.key": KEY, "pg-ephemeral.platform": "nonsense"}}}, False),
        ({"Config": {"Labels": {"pg-ephemeral.key": "cd" * 32, "pg-ephemeral.platform": "linux/amd64"}}}, False),
        ({"Variant": "v3"}, True),
    ],
)
def test_an_image_counts_if_it_is_for_the_platform_of_its_stage(
    engine: Path, dialect: Dialect, changes: dict[str, object], counts: bool
) -> None:
    """A pull that was killed, or somebody's own, leaves any."""
    reference = Reference.parse(f"ghcr.io/owner/stages:{KEY}")
    store = play(engine, dialect, str(reference), **changes)
    assert (reference in store.get([reference])) is counts
    assert store.is_here(reference) is counts
