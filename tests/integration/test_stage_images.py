"""Stages of the embedded store become images and stages again: another store boots them, and layers are shared."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pg_ephemeral import Definition, boot
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.backends.stage_images import PREFIX, StageImages
from pg_ephemeral.backends.stage_intake import receive
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.cache import Cache, open_cache
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import RegistryError, StageGone
from pg_ephemeral.oci.layout import Layout
from pg_ephemeral.oci.model import Descriptor, ImageConfig, Platform, describe
from pg_ephemeral.oci.reference import Reference, Tag
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import Copied, StoredImage, find_image
from pg_ephemeral.populate import populate_only
from pg_ephemeral.postgres.datadir import Owner
from pg_ephemeral.progress import Event, Finished
from support import machine

SEEDS = (
    ("schema", "CREATE TABLE t (id int PRIMARY KEY, note text)"),
    ("rows", "INSERT INTO t SELECT n, 'note ' || n FROM generate_series(1, 1000) n"),
    ("index", "CREATE INDEX ON t (note)"),
)


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Definition:
    made = Definition(directory=tmp_path_factory.mktemp("project"))
    for name, statement in SEEDS:
        made = made.apply_sql_statement(name, statement)
    return made


class Machine:
    """A cache directory of its own, and the chain in it."""

    def __init__(self, directory: Path, definition: Definition) -> None:
        directory.mkdir(exist_ok=True)
        if machine.servers_are_foreign():
            directory.chmod(0o711)
        self.definition = definition
        self.backend = EmbeddedBackend(definition.image, cache=directory)
        self.cache: Cache = open_cache(definition, self.backend)
        self.keys = self.cache.chain.keys
        self.tip = self.cache.reference(self.keys[-1])

    @property
    def stages(self) -> Stages:
        return self.backend.images

    @property
    def platform(self) -> Platform:
        return Platform.parse(self.cache.identity.platform)

    def push(self, layout: Layout, *references: Reference) -> list[Copied]:
        with StageImages(self.stages) as images:
            return [images.push(reference, layout) for reference in references or self.references()]

    def pull(self, layout: Layout, reference: Reference) -> bool:
        found = find_image(layout, reference, self.platform)
        assert found is not None
        return receive(self.stages, layout, found, reference, platform=self.platform)

    def references(self) -> list[Reference]:
        return [self.cache.reference(key) for key in self.keys]

    def data(self, key: CacheKey) -> Path:
        return self.stages.open(key)[0]

    def layers(self, layout: Layout, key: CacheKey) -> tuple[Descriptor, ...]:
        return image(layout, self.cache.reference(key)).manifest.layers

    def leftovers(self) -> list[Path]:
        return list(self.stages.root.glob("ingest/*"))

    def has_rows(self) -> bool:
        """Boot it, and look; no seed may have to be applied."""
        events: list[Event] = []
        with (
            boot(self.definition, backend=self.backend, progress=events.append) as server,
            server.connect() as connection,
        ):
            row = connection.execute("SELECT count(*), max(note) FROM t").fetchone()
        assert len(events) == 1
        assert isinstance(events[0], Finished)
        assert (events[0].built, events[0].reused) == (0, 3)
        return row == (1000, "note 999")


def image(layout: Layout, reference: Reference) -> StoredImage:
    content = layout.manifest(reference)
    assert content is not None
    config = json.loads(
        (layout.directory / "blobs/sha256" / json.loads(content.data)["config"]["digest"][7:]).read_bytes()
    )
    found = find_image(layout, reference, Platform(os=config["os"], architecture=config["architecture"]))
    assert found is not None
    return found


def same_files(one: Path, other: Path) -> bool:
    done = subprocess.run(["diff", "-r", str(one), str(other)], capture_output=True, text=True)
    return done.returncode == 0


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, definition: Definition) -> Machine:
    made = Machine(tmp_path_factory.mktemp("builder"), definition)
    populate_only(made.cache)
    return made


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, builder: Machine) -> Layout:
    """Every stage, pushed in order. Not to be changed."""
    layout = Layout(tmp_path_factory.mktemp("pushed") / "layout")
    builder.push(layout)
    return layout


@pytest.fixture
def own(pushed: Layout, tmp_path: Path) -> Layout:
    """A copy of that to do harm to."""
    shutil.copytree(pushed.directory, tmp_path / "layout")
    return Layout(tmp_path / "layout")


@pytest.fixture
def fresh(tmp_path: Path, definition: Definition) -> Iterator[Machine]:
    """A machine that has built nothing; nothing half-done may be in its store afterwards."""
    made = Machine(tmp_path / "fresh", definition)
    yield made
    assert made.leftovers() == []


# fault: W1
def test_another_machine_boots_the_tip_alone(pushed: Layout, builder: Machine, fresh: Machine) -> None:
    assert fresh.pull(pushed, fresh.tip)
    assert same_files(builder.data(builder.keys[-1]), fresh.data(fresh.keys[-1]))
    assert fresh.stages.get([fresh.tip])[fresh.tip].labels == builder.stages.get([builder.tip])[builder.tip].labels
    assert fresh.has_rows()
    assert not fresh.pull(pushed, fresh.tip), "it is there"


def test_each_stage_is_its_parents_layers_and_one_more(pushed: Layout, builder: Machine) -> None:
    below: tuple[Descriptor, ...] = ()
    for key in builder.keys:
        layers = builder.layers(pushed, key)
        assert layers[:-1] == below
        below = layers
    assert len(below) == 4
    assert sum(layer.size for layer in below[1:]) < 1_000_000
    # A third of 20 MB, which is what three small seeds cost with images made by committing containers.
    assert sum(layer.size for layer in below) < 6_700_000


def test_a_second_push_packs_nothing_and_sends_nothing(own: Layout, builder: Machine) -> None:
    with StageImages(builder.stages) as images:
        for reference in builder.references():
            copied = images.push(reference, own)
            assert copied.sent == ()
        assert builder.leftovers() == [], "no layer was packed"


def test_the_tip_alone_brings_all_layers(builder: Machine, fresh: Machine, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    [copied] = builder.push(layout, builder.tip)
    assert len(copied.sent) == 5
    assert layout.resolve(builder.references()[0]) is None
    fresh.pull(layout, fresh.tip)
    assert fresh.has_rows()


# fault: W2
def test_a_pulled_stage_is_the_very_image_it_came_as(pushed: Layout, fresh: Machine) -> None:
    fresh.pull(pushed, fresh.tip)
    with StageImages(fresh.stages) as images:
        assert images.resolve(fresh.tip) == pushed.resolve(fresh.tip)
        assert images.image(fresh.keys[-1]).content.data == image(pushed, fresh.tip).content.data
    assert [copied.sent for copied in fresh.push(pushed, fresh.tip)] == [()]


def test_layers_that_are_here_are_not_fetched_and_files_are_shared(own: Layout, fresh: Machine) -> None:
    fresh.pull(own, fresh.references()[1])
    for layer in fresh.layers(own, fresh.keys[1]):
        (own.directory / "blobs/sha256" / layer.digest.hex).unlink()
    fresh.pull(own, fresh.tip)
    assert (fresh.data(fresh.keys[1]) / "PG_VERSION").samefile(fresh.data(fresh.keys[-1]) / "PG_VERSION")
    assert fresh.has_rows()


@pytest.mark.parametrize("gone", ["tree.json", "data/global/pg_control"])
def test_a_stage_that_goes_while_it_is_shared_is_done_without(own: Layout, fresh: Machine, gone: str) -> None:
    fresh.pull(own, fresh.cache.reference(fresh.keys[1]))
    (fresh.stages.directory(fresh.keys[1]) / gone).unlink()
    assert fresh.pull(own, fresh.tip)
    assert fresh.leftovers() == []
    assert fresh.has_rows()


def test_pulling_onto_a_shared_stage_leaves_that_as_it_was(pushed: Layout, builder: Machine, fresh: Machine) -> None:
    for reference in fresh.references():
        fresh.pull(pushed, reference)
    for key in fresh.keys:
        assert same_files(builder.data(key), fresh.data(key))


def test_a_stage_built_on_a_pulled_one_adds_one_layer_to_it(pushed: Layout, fresh: Machine, tmp_path: Path) -> None:
    fresh.pull(pushed, fresh.references()[2])
    populate_only(fresh.cache)
    layout = Layout(tmp_path / "other")
    with StageImages(fresh.stages) as images:
        layers = images.image(fresh.keys[-1]).layers
    assert layers[:-1] == fresh.layers(pushed, fresh.keys[2])
    assert layers[-1].size < 1_000_000
    fresh.push(layout, fresh.tip)
    assert len(fresh.layers(layout, fresh.keys[-1])) == 2, "elsewhere, what came as several layers is one"


def test_without_its_parent_a_stage_is_one_layer(definition: Definition, tmp_path: Path) -> None:
    built = Machine(tmp_path / "built", definition)
    populate_only(built.cache)
    for reference in built.references()[:-1]:
        built.stages.remove(reference, force=True)
    layout = Layout(tmp_path / "layout")
    built.push(layout, built.tip)
    assert len(built.layers(layout, built.keys[-1])) == 1
    other = Machine(tmp_path / "other", definition)
    other.pull(layout, other.tip)
    assert same_files(built.data(built.keys[-1]), other.data(other.keys[-1]))


def test_what_cannot_be_packed_as_it_came_is_pushed_anew(
    pushed: Layout, fresh: Machine, definition: Definition, tmp_path: Path
) -> None:
    fresh.pull(pushed, fresh.tip)
    layout = Layout(tmp_path / "other")
    fresh.push(layout, fresh.tip)
    assert len(fresh.layers(layout, fresh.keys[-1])) == 1
    other = Machine(tmp_path / "third", definition)
    other.pull(layout, other.tip)
    assert same_files(fresh.data(fresh.keys[-1]), other.data(other.keys[-1]))


# fault: W13
def test_the_image_says_what_it_is_and_nothing_of_this_machine(pushed: Layout, builder: Machine) -> None:
    found = image(pushed, builder.tip)
    assert found.config.labels == builder.stages.get([builder.tip])[builder.tip].labels
    assert found.config.platform == builder.platform
    assert found.config.created == "1970-01-01T00:00:00Z"
    assert found.config.history == tuple(f"pg-ephemeral stage {key}" for key in builder.keys)
    assert str(builder.stages.root) not in found.config.render().decode()


# fault: W13
def test_no_layer_holds_a_password_of_ours_not_even_as_a_verifier(pushed: Layout, builder: Machine) -> None:
    for layer in builder.layers(pushed, builder.keys[-1]):
        plain = gzip.decompress((pushed.directory / "blobs/sha256" / layer.digest.hex).read_bytes())
        assert b"SCRAM-SHA-256$" not in plain


def test_a_stack_that_would_become_too_high_begins_anew(
    builder: Machine, definition: Definition, tmp_path: Path
) -> None:
    copy, layout = Stages(tmp_path / "copy"), Layout(tmp_path / "layout")
    shutil.copytree(builder.stages.root / "stages", copy.root / "stages", ignore=shutil.ignore_patterns("image.json"))
    with StageImages(copy, most_layers=2) as images:
        for reference in builder.references():
            images.push(reference, layout)
    assert [len(builder.layers(layout, key)) for key in builder.keys] == [1, 2, 1, 2]
    other = Machine(tmp_path / "other", definition)
    other.pull(layout, other.tip)
    assert same_files(builder.data(builder.keys[-1]), other.data(other.keys[-1]))


def test_two_machines_describe_equal_files_alike(pushed: Layout, builder: Machine, tmp_path: Path) -> None:
    copy = Stages(tmp_path / "copy")
    shutil.copytree(builder.stages.root / "stages", copy.root / "stages", ignore=shutil.ignore_patterns("image.json"))
    with StageImages(copy) as images:
        assert images.resolve(builder.tip) == pushed.resolve(builder.tip)
    assert list(copy.root.glob("ingest/*")) == []


def retagged(layout: Layout, reference: Reference, config: ImageConfig) -> None:
    """Push the image of ``reference`` over itself with another configuration."""
    found = image(layout, reference)
    data = config.render()
    described = describe(found.manifest.config.media_type, data)
    (layout.directory / "blobs/sha256" / described.digest.hex).write_bytes(data)
    layout.put_manifest(reference, found.manifest.media_type, replace(found.manifest, config=described).render())


# fault: W12
def test_another_stage_under_the_tag_is_refused(own: Layout, fresh: Machine) -> None:
    other = image(own, fresh.references()[1])
    own.put_manifest(fresh.tip, other.manifest.media_type, other.content.data)
    with pytest.raises(RegistryError, match=f"labelled as stage {fresh.keys[1]}") as caught:
        fresh.pull(own, fresh.tip)
    assert caught.value.state == State.CORRUPT
    assert fresh.stages.present() == ()


# fault: W12
def test_an_image_without_labels_is_refused(own: Layout, fresh: Machine) -> None:
    retagged(own, fresh.tip, replace(image(own, fresh.tip).config, labels={}))
    with pytest.raises(RegistryError, match=r"pg-ephemeral\.version is missing"):
        fresh.pull(own, fresh.tip)
    assert fresh.stages.present() == ()


# fault: W5
def test_another_platform_is_refused(own: Layout, fresh: Machine) -> None:
    elsewhere = Platform(os="plan9", architecture="mips")
    retagged(own, fresh.tip, replace(image(own, fresh.tip).config, platform=elsewhere))
    with pytest.raises(RegistryError, match="it is for plan9/mips") as caught:
        fresh.pull(own, fresh.tip)
    assert caught.value.state == State.CORRUPT
    assert fresh.stages.present() == ()


@pytest.mark.parametrize("harm", ["cut", "flipped", "gone", "another"])
@pytest.mark.parametrize("position", [0, -1], ids=["first layer", "last layer"])
def test_a_damaged_layer_leaves_nothing(harm: str, position: int, own: Layout, fresh: Machine) -> None:
    blob = own.directory / "blobs/sha256" / fresh.layers(own, fresh.keys[-1])[position].digest.hex
    data = bytearray(blob.read_bytes())
    if harm == "gone":
        blob.unlink()
    elif harm == "cut":
        blob.write_bytes(data[: len(data) // 2])
    elif harm == "another":
        blob.write_bytes((own.directory / "blobs/sha256" / fresh.layers(own, fresh.keys[1])[1].digest.hex).read_bytes())
    else:
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
    with pytest.raises(Exception, match=r"damaged|cannot use|layer sha256"):
        fresh.pull(own, fresh.tip)
    assert fresh.stages.present() == ()


def test_an_image_that_is_no_data_directory_is_refused(own: Layout, fresh: Machine) -> None:
    found = image(own, fresh.tip)
    config = replace(found.config, diff_ids=found.config.diff_ids[-1:], history=()).render()
    described = describe(found.manifest.config.media_type, config)
    (own.directory / "blobs/sha256" / described.digest.hex).write_bytes(config)
    manifest = replace(found.manifest, config=described, layers=found.manifest.layers[-1:])
    own.put_manifest(fresh.tip, manifest.media_type, manifest.render())
    with pytest.raises(RegistryError, match="holds no data directory"):
        fresh.pull(own, fresh.tip)
    assert fresh.stages.present() == ()


def test_a_stage_that_is_gone_is_absent(builder: Machine) -> None:
    absent = Reference(name=builder.tip.name, tag=Tag.parse("0" * 64))
    with StageImages(builder.stages) as images:
        assert images.resolve(absent) is None
        with pytest.raises(StageGone):
            images.push(absent, Layout(Path("/nowhere")))


PULL = """
import sys
from pathlib import Path
from pg_ephemeral.backends.stage_images import StageImages
from pg_ephemeral.backends.stage_intake import receive
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.oci.layout import Layout
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.store import find_image
root, source, target, platform, *references = sys.argv[1:]
stages = Stages(Path(root))
for reference in map(Reference.parse, references):
    found = find_image(Layout(Path(source)), reference, Platform.parse(platform))
    receive(stages, Layout(Path(source)), found, reference, platform=Platform.parse(platform))
with StageImages(stages) as images:
    for reference in map(Reference.parse, references):
        images.push(reference, Layout(Path(target)))
"""


def test_many_processes_pull_and_push_one_chain_at_once(pushed: Layout, fresh: Machine, tmp_path: Path) -> None:
    target = Layout(tmp_path / "target")
    references = [str(reference) for reference in fresh.references()]
    arguments = [str(fresh.stages.root), str(pushed.directory), str(target.directory), str(fresh.platform)]
    running = [subprocess.Popen([sys.executable, "-c", PULL, *arguments, *references]) for _ in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    for reference in fresh.references():
        assert image(target, reference).manifest == image(pushed, reference).manifest
    assert fresh.has_rows()


@pytest.mark.needs("root")
def test_the_servers_user_owns_what_is_pulled(pushed: Layout, builder: Machine, tmp_path: Path) -> None:
    stages = Stages(tmp_path / "store", owner=Owner(uid=65534, gid=65533))
    for reference in (builder.references()[1], builder.tip):
        receive(stages, pushed, image(pushed, reference), reference, platform=builder.platform)
    data, _ = stages.open(builder.keys[-1])
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in (data, *data.rglob("*"))} == {(65534, 65533)}


def test_progress_counts_to_the_whole(pushed: Layout, fresh: Machine) -> None:
    fresh.pull(pushed, fresh.references()[0])
    told: list[tuple[int, int]] = []
    found = image(pushed, fresh.tip)
    receive(
        fresh.stages,
        pushed,
        found,
        fresh.tip,
        platform=fresh.platform,
        progress=lambda done, total: told.append((done, total)),
    )
    total = sum(layer.size for layer in found.manifest.layers)
    assert told == sorted(told)
    assert told[-1] == (total, total)


@pytest.mark.needs("skopeo")
def test_skopeo_reads_the_layout(pushed: Layout, builder: Machine) -> None:
    argv = ["skopeo", "inspect", f"oci:{pushed.directory}:{key_of(builder.tip)}"]
    shown = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    assert shown["Labels"] == dict(image(pushed, builder.tip).config.labels)
    assert shown["Digest"] == str(image(pushed, builder.tip).content.descriptor.digest)
    assert len(shown["Layers"]) == 4


@pytest.mark.needs("skopeo")
def test_what_skopeo_copied_is_received(pushed: Layout, fresh: Machine, tmp_path: Path) -> None:
    """Docker's manifest, and layers that skopeo compressed again."""
    tag = key_of(fresh.tip)
    for source, target in ((pushed.directory, "docker"), ("docker", "again")):
        scheme = ("oci", "dir") if target == "docker" else ("dir", "oci")
        origin = f"oci:{source}:{tag}" if scheme[0] == "oci" else f"dir:{tmp_path / 'docker'}"
        goal = f"dir:{tmp_path / 'docker'}" if scheme[1] == "dir" else f"oci:{tmp_path / 'again'}:{tag}"
        options = ["--format=v2s2"] if target == "docker" else ["--format=oci", "--dest-compress-format=zstd"]
        subprocess.run(["skopeo", "copy", "--insecure-policy", *options, origin, goal], capture_output=True, check=True)
    assert fresh.pull(Layout(tmp_path / "again"), fresh.tip)
    assert fresh.has_rows()


def test_the_data_lies_below_a_fixed_directory(pushed: Layout, builder: Machine) -> None:
    layer = builder.layers(pushed, builder.keys[-1])[-1]
    listed = subprocess.run(
        ["tar", "-tvzf", str(pushed.directory / "blobs/sha256" / layer.digest.hex), "--numeric-owner"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    below = [line for line in listed if f"{PREFIX}/" in line]
    assert len(below) == len(listed) - 3
    assert all(line.split()[1] == "999/999" for line in below)
