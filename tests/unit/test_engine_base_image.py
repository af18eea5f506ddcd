"""What is known of a base image that is not here: from its registry, or from the engine that pulls it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.base_image import BaseImage
from pg_ephemeral.backends.engine.dialect import Dialect
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.errors import BaseMoved
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.model import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from support.bad_registry import BadRegistry, running

DIALECTS = [pytest.param(DOCKER, id="docker"), pytest.param(PODMAN, id="podman")]
_PATH = "owner/postgres"

#: An engine that pulls one and the same image, whatever it is asked for.
_ENGINE = """
case $1 in
    image) test -e {there} && exec cat {there}; echo "[]"; echo "No such image: $3" >&2; exit 1 ;;
    version | info) echo linux/arm64 ;;
    pull) echo "$*" >>{pulls}; printf '%s' '{document}' >{there} ;;
esac
"""


@pytest.fixture
def registry() -> Iterator[BadRegistry]:
    """It has the tag for two platforms."""
    with running() as registry:
        listed = []
        for architecture in ("amd64", "arm64"):
            config = {
                "os": "linux",
                "architecture": architecture,
                "config": {"Env": ["PG_MAJOR=15"]},
                "rootfs": {"type": "layers", "diff_ids": [layer(architecture)]},
            }
            manifest = {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "layers": [blob(registry, OCI_LAYER_GZIP, architecture)],
                "config": blob(registry, OCI_CONFIG, config),
            }
            content = json.dumps(manifest).encode()
            digest = registry.keep_manifest(_PATH, architecture, OCI_MANIFEST, content)
            platform = {"os": "linux", "architecture": architecture}
            listed.append(
                {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(content), "platform": platform},
            )
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
        registry.keep_manifest(_PATH, "15", OCI_INDEX, json.dumps(index).encode())
        yield registry


def layer(name: str) -> str:
    return f"sha256:{name.encode().hex():0<64}"


def blob(registry: BadRegistry, media_type: str, value: object) -> dict[str, object]:
    data = json.dumps(value).encode()
    return {"mediaType": media_type, "digest": registry.keep_blob(data), "size": len(data)}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Engines whose source has an image of one layer, ``mirror``."""
    document = [{"Id": "sha256:1", "Os": "linux", "Architecture": "arm64", "RootFS": {"Layers": [layer("mirror")]}}]
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("docker", "podman"):
        script = _ENGINE.format(there=tmp_path / "image", pulls=tmp_path / "pulls", document=json.dumps(document))
        (tmp_path / name).write_text("#!/bin/sh\n" + script)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def base(dialect: Dialect, registry: BadRegistry, *, described: bool) -> BaseImage:
    return BaseImage(dialect, ImageWord.parse(f"{registry.host}/{_PATH}:15"), described=described)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_where_stages_can_be_pulled_the_registry_tells_for_the_platform_of_the_engine(
    dialect: Dialect, registry: BadRegistry, programs: Path
) -> None:
    image = base(dialect, registry, described=True)
    assert image.facts.platform == "linux/arm64"
    assert image.facts.layers == (layer("arm64"),)
    assert not (programs / "pulls").exists()


def test_docker_may_be_told_to_pull_for_another_platform(
    registry: BadRegistry, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/amd64")
    assert base(DOCKER, registry, described=True).facts.layers == (layer("amd64"),)
    assert base(PODMAN, registry, described=True).facts.layers == (layer("arm64"),)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_where_no_stages_can_be_pulled_only_what_the_engine_pulls_counts(
    dialect: Dialect, registry: BadRegistry, programs: Path
) -> None:
    image = base(dialect, registry, described=False)
    assert image.facts.layers == (layer("mirror"),)
    assert registry.requests == []
    image.fetch_as_described()
    assert (programs / "pulls").read_text().splitlines() == [f"pull {registry.host}/{_PATH}:15"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_mirror_that_has_another_image_is_noticed_once_and_then_believed(
    dialect: Dialect, registry: BadRegistry, programs: Path
) -> None:
    image = base(dialect, registry, described=True)
    assert image.facts.layers == (layer("arm64"),)
    with pytest.raises(BaseMoved, match=f"image {image.name} is another where {dialect.program} pulls it"):
        image.fetch_as_described()
    assert image.facts.layers == (layer("mirror"),)
    image.fetch_as_described()
    assert len((programs / "pulls").read_text().splitlines()) == 1


def test_a_program_of_the_image_runs_whichever_it_is(registry: BadRegistry, programs: Path) -> None:
    image = base(DOCKER, registry, described=True)
    assert image.facts.layers == (layer("arm64"),)
    image.fetch()


@pytest.mark.parametrize(
    ("dialect", "word", "pulled"),
    [
        (PODMAN, "mbj/postgres:18", "docker.io/mbj/postgres:18"),
        (PODMAN, "ghcr.io/mbj/postgres:18", "ghcr.io/mbj/postgres:18"),
        (PODMAN, "localhost/mbj/postgres:18", "localhost/mbj/postgres:18"),
        (DOCKER, "mbj/postgres:18", "mbj/postgres:18"),
    ],
)
def test_without_a_registry_docker_hub_is_meant(programs: Path, dialect: Dialect, word: str, pulled: str) -> None:
    """Which Podman refuses to guess, unless it is configured to; an image that is here has the name it was given."""
    image = BaseImage(dialect, ImageWord.parse(word), described=False)
    image.fetch()
    assert (programs / "pulls").read_text() == f"pull {pulled}\n"
    assert image.name == word
