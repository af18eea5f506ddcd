"""Stages through a real registry and back, on every backend: what a fresh machine needs not do again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.errors import RegistryError
from pg_ephemeral.labels import KEY_LABEL
from pg_ephemeral.oci.model import Descriptor, Manifest, describe
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.registry import RegistryStore
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import BlobSource, Readable
from support import engines, machine
from support.registry import Registry
from support.sites import (
    INDEX,
    KINDS,
    MORE,
    ROWS,
    SCHEMA,
    Published,
    Site,
    definition,
    open_directory,
    options,
    published,
    salted,
    share_at_once,
    site,
)

pytestmark = pytest.mark.needs("registry")

#: Longer than a label may be; a word of it that is in no row.
LONG = "-- only-in-the-text-of-a-seed\n" + "-- and much more of it\n" * 3200
DEAD = "127.0.0.1:9"


@dataclass(frozen=True)
class Shared:
    """Five seeds that were built and pushed once. ``counter`` has a line for each time the script was run."""

    site: Site
    registry: Registry
    counter: Path
    images: tuple[Published, ...]
    populated: tuple[str, ...]

    def fresh(self, directory: Path) -> Site:
        """Another machine: nothing is here but what the registry has."""
        made = replace(self.site, directory=open_directory(directory / "fresh"), events=[])
        if made.kind != "embedded":
            engines.remove_images(made.kind, made.definition.instance)
        assert made.present() == []
        return made


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    kind = request.param
    directory = open_directory(tmp_path_factory.mktemp(kind))
    counter = directory / "counter"
    index = (INDEX[0], f"{LONG}{INDEX[1]}")
    seeds = (SCHEMA, ROWS, ("script", f"echo applied >> {counter}"), index, MORE)
    tls = kind != "embedded" or machine.abilities()["tls"] is None
    with site(kind, directory, seeds, tls=tls) as made:
        builder = made.at(f"{registry.host}/owner/project")
        builder.populate()
        report = builder.push()
        assert [stage.status for stage in report.stages] == ["pushed"] * 6
        images = tuple(published(registry, reference) for reference in builder.references())
        yield Shared(builder, registry, counter, images, tuple(builder.applied()))


def uploads(registry: Registry, since: int) -> list[tuple[str, str, int]]:
    """Requests that carry a blob, or begin to."""
    return [one for one in registry.requests()[since:] if "/blobs/uploads/" in one[1]]


# fault: W1
# fault: W17
# acceptance: 103, 104
def test_after_a_pull_no_seed_is_applied(shared: Shared, tmp_path: Path) -> None:
    fresh = shared.fresh(tmp_path)
    report = fresh.pull()
    assert report.pulled == fresh.tip
    assert [one.state for one in report.looked] == [State.PRESENT]
    assert fresh.present() == [5], "the tip alone"
    assert fresh.rows() == (1100, 1100)
    assert fresh.applied() == []
    assert fresh.present() == [5], "nothing that is older is made for it"
    assert shared.populated == ("schema", "rows", "script", "index", "more")
    assert shared.counter.read_text() == "applied\n"


# fault: W2
# fault: W10
def test_who_has_pulled_overwrites_nothing_and_sends_nothing(shared: Shared, tmp_path: Path) -> None:
    fresh = shared.fresh(tmp_path)
    fresh.pull()
    fresh.populate()
    since = len(shared.registry.requests())
    report = fresh.push()
    assert [(stage.name, stage.status) for stage in report.stages] == [("more", "present")]
    asked = [one for one in shared.registry.requests()[since:] if one[1] != "/v2/"]
    assert [(method, path, status) for method, path, status in asked if method != "HEAD"] == []
    assert len(asked) == 1
    fresh.push(force=True)
    assert uploads(shared.registry, since) == []
    assert published(shared.registry, fresh.tip).digest == shared.images[-1].digest


def test_the_newest_that_is_there_is_built_upon(shared: Shared, tmp_path: Path) -> None:
    fresh = shared.fresh(tmp_path)
    longer = fresh.definition.apply_sql_statement("last", "DELETE FROM t WHERE id > 1050")
    fresh.definition = longer
    report = fresh.sync()
    assert report.pulled is not None
    assert [one.state for one in report.pulled.looked] == [State.ABSENT, State.PRESENT]
    assert fresh.applied() == ["last"]
    assert report.pushed is not None
    assert [(stage.name, stage.status) for stage in report.pushed.stages] == [("more", "present"), ("last", "pushed")]
    below, above = shared.images[-1], published(shared.registry, fresh.tip)
    assert above.diff_ids[:-1] == below.diff_ids, "one layer on those that were there"
    assert fresh.rows() == (1050, 1050)


# fault: W3
@pytest.mark.parametrize("kind", KINDS)
def test_to_find_nothing_is_no_failure(kind: str, registry: Registry, tmp_path: Path) -> None:
    """Neither does the repository exist, nor is anything here."""
    with site(kind, tmp_path, (SCHEMA,)) as made:
        fresh = made.at(f"{registry.host}/nobody")
        report = fresh.pull()
        assert (report.pulled, report.present) == (None, None)
        assert [one.state for one in report.looked] == [State.ABSENT] * 2
        assert fresh.push().stages == ()


# fault: W4
# fault: W9
def test_without_the_registry_sync_builds_here(shared: Shared, tmp_path: Path) -> None:
    fresh = shared.fresh(tmp_path)
    fresh.pull()
    longer = fresh.at(f"{DEAD}/owner/project")
    longer.definition = longer.definition.apply_sql_statement("last", "DELETE FROM t WHERE id > 7")
    with pytest.raises(RegistryError) as caught:
        longer.sync(strict=True)
    assert caught.value.state == State.DOWN
    assert longer.applied() == []
    report = longer.sync()
    assert len(report.warnings) == 2
    assert longer.warnings() == list(report.warnings)
    assert all(DEAD in warning for warning in report.warnings)
    assert longer.applied() == ["last"]
    assert longer.rows() == (7, 7)


# fault: W9
def test_what_is_here_is_found_whatever_the_registry(shared: Shared, tmp_path: Path) -> None:
    fresh = shared.fresh(tmp_path)
    fresh.pull()
    for host in (None, "ghcr.io/somebody/else", DEAD, f"{shared.registry.host}/owner/project"):
        moved = fresh.at(host)
        assert moved.present() == [5]
        moved.populate()
        assert moved.tip in moved.named()
        assert moved.applied() == []
        assert moved.rows() == (1100, 1100)
    moved = fresh.at("ghcr.io/somebody/third")
    moved.definition = moved.definition.apply_sql_statement("last", "DELETE FROM t WHERE id > 3")
    moved.populate()
    assert moved.applied() == ["last"], "what is here under other names alone is built upon"


def test_what_another_repository_of_the_registry_has_is_mounted(shared: Shared, tmp_path: Path) -> None:
    """By engines as well, which remember where a layer came from; the configuration may be sent."""
    fresh = shared.fresh(tmp_path)
    fresh.pull()
    moved = fresh.at(f"{shared.registry.host}/another/place")
    moved.populate()
    since = len(shared.registry.requests())
    report = moved.push(tip=True)
    assert [stage.status for stage in report.stages] == ["pushed"]
    asked = shared.registry.requests()[since:]
    mounts = [path for method, path, status in asked if method == "POST" and "mount=" in path and status == 201]
    assert len(mounts) >= len(shared.images[-1].manifest.layers)
    if moved.kind == "embedded":
        assert report.stages[0].sent == 0
        assert [one for one in asked if one[0] in ("PUT", "PATCH") and "/uploads/" in one[1]] == []
    assert published(shared.registry, moved.tip).diff_ids == shared.images[-1].diff_ids


def sourced(data: bytes) -> BlobSource:
    from contextlib import contextmanager
    from io import BytesIO

    @contextmanager
    def opened() -> Iterator[Readable]:
        yield BytesIO(data)

    return opened


def put_over(shared: Shared, reference: Reference, image: Published, **changes: object) -> None:
    """Publish an image under another's tag, in a repository of its own, with parts of its configuration changed."""
    config = json.dumps({**image.config, **changes}).encode()
    described = describe(image.manifest.config.media_type, config)
    manifest: Manifest = replace(image.manifest, config=described)
    origin = shared.site.tip.name
    with RegistryStore(options(shared.registry)) as store:
        for layer in manifest.layers:
            assert not store.put_blob(reference.name, layer, sourced(b""), mount_from=(origin,))
        store.put_blob(reference.name, described, sourced(config))
        store.put_manifest(reference, manifest.media_type, manifest.render())


# fault: W5
# fault: W12
@pytest.mark.parametrize("wrong", ["another stage", "no stage", "another platform"])
def test_what_is_not_what_its_tag_says_is_refused_and_leaves_nothing(
    shared: Shared, tmp_path: Path, wrong: str
) -> None:
    fresh = shared.fresh(tmp_path).at(f"{shared.registry.host}/{wrong.replace(' ', '-')}")
    tip, first = shared.images[-1], shared.images[1]
    if wrong == "another stage":
        put_over(shared, fresh.tip, first)
    elif wrong == "no stage":
        put_over(shared, fresh.tip, tip, config={**tip.config["config"], "Labels": {"key": "none"}})
    else:
        put_over(shared, fresh.tip, tip, architecture="s390x", variant="")
    report = fresh.pull()
    assert report.pulled is None
    assert [one.state for one in report.looked] == [State.CORRUPT] + [State.ABSENT] * 5
    [warning] = fresh.warnings()
    expected = {
        "another stage": f"it is labelled as stage {first.config['config']['Labels'][KEY_LABEL]}",
        "no stage": "pg-ephemeral",
        "another platform": "it is for linux/s390x, and this is",
    }
    assert expected[wrong] in warning
    assert fresh.present() == []
    assert fresh.named() == []
    assert fresh.leftovers() == []
    if fresh.kind != "embedded":
        assert str(fresh.tip) not in engines.call(fresh.kind, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")

    # What is good below it counts.
    put_over(shared, fresh.references()[1], first)
    assert fresh.pull().pulled == fresh.references()[1]
    assert fresh.present() == [1]


def layers_of_ours(shared: Shared) -> list[tuple[Descriptor, ...]]:
    """Of each stage, the layers that the base image and the stages before it do not have."""
    backend = shared.site.backend
    base = backend.identify().fields["layers"] if isinstance(backend, EngineBackend) else []
    assert isinstance(base, list)
    known: set[str] = set()
    found = []
    for image in shared.images:
        assert image.diff_ids[: len(base)] == base
        added = image.manifest.layers[len(base) :]
        found.append(tuple(layer for layer in added if str(layer.digest) not in known))
        known.update(str(layer.digest) for layer in added)
    assert all(found)
    return found


# fault: W13
def test_nothing_that_is_pushed_tells_a_secret(shared: Shared) -> None:
    """Neither a password of ours, nor its verifier, nor a private key, nor a seed's text, nor a path of this host."""
    words = (
        b"SCRAM-SHA-256$",
        b"PRIVATE KEY",
        b"only-in-the-text-of-a-seed",
        b"echo applied",
        str(shared.counter.parent).encode(),
        str(Path.cwd()).encode(),
        str(Path.home()).encode() + b"/",
    )
    for layer in (layer for layers in layers_of_ours(shared) for layer in layers):
        plain = gzip.decompress(shared.registry.blob_file(str(layer.digest)).read_bytes())
        assert [word for word in words if word in plain] == [], layer.digest
    for image in shared.images:
        config = json.dumps(image.config).encode()
        assert [word for word in words if word in config] == []
        for part in ("config", "container_config"):
            variables = (image.config.get(part) or {}).get("Env") or []
            assert [one for one in variables if "PASSWORD" in one or "SCRAM" in one] == []


# fault: W10
def test_a_small_seed_costs_a_registry_little(shared: Shared) -> None:
    """A third of 20 MB is the most: that is what a small stage costs that holds a whole container's changes.

    The base image's own layers are not counted, for they are there once; the empty cluster's are.
    """
    costs = [sum(layer.size for layer in layers) for layers in layers_of_ours(shared)]
    assert max(costs) < 20_000_000 / 3, costs


# fault: W17
def test_a_long_list_of_long_seeds_is_shared(registry: Registry, tmp_path: Path) -> None:
    """More seeds than fit the layers an engine stacks well, each with more text than is reasonable."""
    seeds = [SCHEMA, *((f"seed-{n}", f"{LONG}INSERT INTO t VALUES ({n})") for n in range(1, 25))]
    salt = salted()
    with site("embedded", tmp_path / "one", seeds, salt=salt) as made:
        builder = made.at(f"{registry.host}/long")
        assert builder.sync().to_json()["push"]["pushed"] == 26
    other = Site(
        kind="embedded",
        directory=open_directory(tmp_path / "other"),
        definition=definition("embedded", tmp_path, salt, seeds),
    ).at(f"{registry.host}/long")
    assert other.pull().pulled == builder.tip
    assert other.rows() == (24, 24)
    assert other.applied() == []


@pytest.mark.needs("docker", "podman")
@pytest.mark.parametrize(("pushes", "pulls"), [("docker", "podman"), ("podman", "docker")], ids=["docker", "podman"])
def test_what_one_engine_pushed_the_other_boots(pushes: str, pulls: str, registry: Registry, tmp_path: Path) -> None:
    salt = salted()
    host = f"{registry.host}/{pushes}"
    with (
        site(pushes, open_directory(tmp_path / "one"), (SCHEMA, ROWS, INDEX), salt=salt) as one,
        site(pulls, open_directory(tmp_path / "other"), (SCHEMA, ROWS, INDEX), salt=salt) as other,
    ):
        builder, fresh = one.at(host), other.at(host)
        assert builder.sync().warnings == ()
        assert fresh.tip == builder.tip, "the base's content makes the key, and not the engine"
        assert fresh.pull().pulled == builder.tip
        assert fresh.rows() == (1000, 1000)
        assert fresh.applied() == []
        before = published(registry, builder.tip).digest
        assert [stage.status for stage in fresh.push().stages] == ["present"]
        assert published(registry, builder.tip).digest == before


@pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.needs("docker"))])
def test_many_processes_share_one_chain_of_an_engine_at_once(engine: str, registry: Registry, tmp_path: Path) -> None:
    share_at_once(engine, registry, tmp_path)
