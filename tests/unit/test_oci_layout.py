"""A layout on disk: what is kept is whole and checked, whoever else writes at the same time, and skopeo's format."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from pg_ephemeral.errors import CacheError, RegistryError
from pg_ephemeral.oci.layout import Layout
from pg_ephemeral.oci.model import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    describe,
)
from pg_ephemeral.oci.reference import Name, Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import BlobSource, Readable, copy, find_image

NAME = Name.parse("pg-ephemeral/main")
ONE, TWO = Reference.parse("pg-ephemeral/main:one"), Reference.parse("pg-ephemeral/main:two")
PLATFORM = Platform(os="linux", architecture="amd64")


def source(data: bytes) -> BlobSource:
    def opened() -> AbstractContextManager[Readable]:
        return nullcontext(io.BytesIO(data))

    return opened


def blob(layout: Layout, data: bytes, media_type: str = OCI_LAYER_GZIP) -> Descriptor:
    descriptor = describe(media_type, data)
    layout.put_blob(NAME, descriptor, source(data))
    return descriptor


def image(layout: Layout, reference: Reference, *layers: bytes) -> Manifest:
    described = tuple(blob(layout, data) for data in layers)
    config = ImageConfig(platform=PLATFORM, diff_ids=tuple(one.digest for one in described)).render()
    manifest = Manifest(config=blob(layout, config, OCI_CONFIG), layers=described)
    layout.put_manifest(reference, OCI_MANIFEST, manifest.render())
    return manifest


def files(layout: Layout) -> set[str]:
    found = {str(path.relative_to(layout.directory)) for path in layout.directory.rglob("*") if path.is_file()}
    return found - {"ingest/index.lock"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def test_what_is_kept_is_there_and_only_once(layout: Layout) -> None:
    data = os.urandom(3_000_000)
    descriptor = describe(OCI_LAYER_GZIP, data)
    assert not layout.has_blob(NAME, descriptor)
    assert layout.put_blob(NAME, descriptor, source(data))
    assert not layout.put_blob(NAME, descriptor, source(b"not even read"))
    with layout.open_blob(NAME, descriptor) as kept:
        assert kept.read() == data


def test_a_tag_names_the_last_manifest_put_under_it_and_digests_name_all(layout: Layout) -> None:
    first = image(layout, ONE, b"a")
    second = image(layout, ONE, b"b")
    other = image(layout, TWO, b"c")
    found = layout.manifest(ONE)
    assert found is not None
    assert found.data == second.render()
    assert layout.resolve(TWO) == describe(OCI_MANIFEST, other.render())
    digest = describe(OCI_MANIFEST, first.render()).digest
    assert layout.manifest(Reference(name=NAME, digest=digest)) is not None
    assert len(json.loads((layout.directory / "index.json").read_bytes())["manifests"]) == 2


def test_what_is_not_there_is_none(layout: Layout) -> None:
    assert layout.resolve(ONE) is None
    assert layout.manifest(ONE) is None
    layer = blob(layout, b"{}")
    assert layout.resolve(Reference(name=NAME, digest=describe(OCI_MANIFEST, b"no").digest)) is None
    assert layout.resolve(Reference(name=NAME, digest=blob(layout, b"no JSON").digest)) is None
    assert layout.resolve(Reference(name=NAME, digest=blob(layout, b'{"mediaType": "a/b"}').digest)) is None
    assert layout.has_blob(NAME, layer)
    with pytest.raises(CacheError, match="cannot use"), layout.open_blob(NAME, describe(OCI_LAYER_GZIP, b"absent")):
        pass


def test_the_files_are_those_of_an_image_layout(layout: Layout) -> None:
    manifest = image(layout, ONE, b"layer")
    assert json.loads((layout.directory / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads((layout.directory / "index.json").read_bytes())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "one"}
    blobs = {manifest.config.digest.hex, manifest.layers[0].digest.hex, entry["digest"].partition(":")[2]}
    assert files(layout) == {"oci-layout", "index.json", *(f"blobs/sha256/{one}" for one in blobs)}


@pytest.mark.parametrize("given", [b"other content", b"right conten", b"right content and more", b""])
def test_content_that_is_not_what_was_promised_is_not_kept(given: bytes, layout: Layout) -> None:
    with pytest.raises(RegistryError) as caught:
        layout.put_blob(NAME, describe(OCI_LAYER_GZIP, b"right content"), source(given))
    assert caught.value.state == State.CORRUPT
    assert files(layout) == {"oci-layout"}


def test_a_source_that_fails_leaves_nothing(layout: Layout) -> None:
    class Failing:
        def read(self, _size: int = -1, /) -> bytes:
            raise RegistryError("cut", state=State.DOWN)

    with pytest.raises(RegistryError, match="cut"):
        layout.put_blob(NAME, describe(OCI_LAYER_GZIP, b"x"), lambda: nullcontext(Failing()))
    assert files(layout) == {"oci-layout"}


def test_what_was_damaged_on_disk_is_noticed(layout: Layout) -> None:
    manifest = image(layout, ONE, b"layer")
    path = layout.directory / "blobs/sha256" / manifest.layers[0].digest.hex
    path.write_bytes(b"Layer")
    with pytest.raises(RegistryError, match="damaged"), layout.open_blob(NAME, manifest.layers[0]) as kept:
        kept.read()
    resolved = layout.resolve(ONE)
    assert resolved is not None
    path = layout.directory / "blobs/sha256" / resolved.digest.hex
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    with pytest.raises(RegistryError, match="damaged"):
        layout.manifest(ONE)
    (layout.directory / "index.json").write_bytes(b"[]")
    with pytest.raises(CacheError, match=r"index\.json is damaged"):
        layout.resolve(ONE)


def test_a_manifest_must_have_the_digest_it_is_put_by(layout: Layout) -> None:
    wrong = Reference(name=NAME, digest=describe(OCI_MANIFEST, b"other").digest)
    with pytest.raises(RegistryError, match="damaged"):
        layout.put_manifest(wrong, OCI_MANIFEST, b"{}")


def test_an_image_is_copied_with_what_is_missing_alone(layout: Layout, tmp_path: Path) -> None:
    manifest = image(layout, ONE, b"shared", b"new")
    found = find_image(layout, ONE, PLATFORM)
    assert found is not None
    target = Layout(tmp_path / "target")
    blob(target, b"shared")
    copied = copy(found, layout, target)
    assert set(copied.sent) == {manifest.config, manifest.layers[1]}
    assert find_image(target, ONE, PLATFORM) == found


def test_an_index_is_kept_and_the_right_platform_found_in_it(layout: Layout) -> None:
    manifest = image(layout, ONE, b"layer")
    entry = layout.resolve(ONE)
    assert entry is not None
    described = Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size, platform=PLATFORM)
    layout.put_manifest(TWO, OCI_INDEX, Index(manifests=(described,)).render())
    found = find_image(layout, TWO, PLATFORM)
    assert found is not None
    assert found.manifest == manifest
    with pytest.raises(RegistryError, match="it has nothing for linux/arm64") as caught:
        find_image(layout, TWO, Platform(os="linux", architecture="arm64"))
    assert caught.value.state == State.CORRUPT


FILL = """
import io, sys
from contextlib import nullcontext
from pathlib import Path
from pg_ephemeral.oci.layout import Layout
from pg_ephemeral.oci.model import OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, describe
from pg_ephemeral.oci.reference import Reference
layout, number = Layout(Path(sys.argv[1])), sys.argv[2]
for round_ in range(5):
    tag = Reference.parse(f"pg-ephemeral/main:tag-{number}-{round_}")
    described = []
    for data in (b"{}", b"the same for all" * 100_000, f"{number} {round_}".encode()):
        described.append(describe(OCI_LAYER_GZIP, data))
        layout.put_blob(tag.name, described[-1], lambda: nullcontext(io.BytesIO(data)))
    manifest = Manifest(config=described[0], layers=tuple(described[1:]))
    layout.put_manifest(tag, OCI_MANIFEST, manifest.render())
"""


def test_many_processes_fill_one_layout_and_none_is_lost(layout: Layout) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", FILL, str(layout.directory), str(number)]) for number in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4
    for tag in {f"tag-{number}-{round_}" for number in range(4) for round_ in range(5)}:
        found = layout.manifest(Reference.parse(f"pg-ephemeral/main:{tag}"))
        assert found is not None
        assert all(layout.has_blob(NAME, layer) for layer in Manifest.parse(found.data).blobs)
    assert not [path for path in files(layout) if path.startswith("ingest")]


def test_two_threads_that_put_one_blob_both_succeed(layout: Layout) -> None:
    data = os.urandom(1_000_000)
    barrier = threading.Barrier(2)
    results = []

    class Together(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 0:
                barrier.wait(timeout=30)
            return super().read(size)

    def put() -> None:
        results.append(layout.put_blob(NAME, describe(OCI_LAYER_GZIP, data), lambda: nullcontext(Together(data))))

    threads = [threading.Thread(target=put) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True, True]
    with layout.open_blob(NAME, describe(OCI_LAYER_GZIP, data)) as kept:
        assert kept.read() == data


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_stays(layout: Layout) -> None:
    blob(layout, b"first")
    ingest = layout.directory / "ingest"
    for name, age in (("left.blob", 100.0), ("new.blob", 0.0)):
        (ingest / name).write_bytes(b"half")
        moment = (ingest / name).stat().st_mtime - age
        os.utime(ingest / name, (moment, moment))
    blob(layout, b"second")
    assert {path.name for path in ingest.glob("*.blob")} == {"new.blob"}


def test_a_layout_that_cannot_be_written_names_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="file"):
        blob(Layout(tmp_path / "file"), b"x")
