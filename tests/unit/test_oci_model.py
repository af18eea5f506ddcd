"""Images as values: reading and rendering, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.errors import InvalidValue, RegistryError
from pg_ephemeral.oci import model
from pg_ephemeral.oci.model import Descriptor, ImageConfig, Index, Manifest, Platform, describe
from pg_ephemeral.oci.reference import Digest
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.verify import check

AMD64 = Platform(os="linux", architecture="amd64")
ARM64 = Platform(os="linux", architecture="arm64", variant="v8")

texts = st.dictionaries(st.text(min_size=1), st.text(), max_size=3)
digests = st.binary(max_size=8).map(lambda data: describe("", data).digest)
descriptors = st.builds(
    Descriptor,
    media_type=st.sampled_from([model.OCI_LAYER, model.OCI_LAYER_GZIP, model.OCI_LAYER_ZSTD]),
    digest=digests,
    size=st.integers(0, 2**40),
    annotations=texts,
)
manifests = st.builds(
    Manifest,
    config=descriptors,
    layers=st.lists(descriptors, max_size=4).map(tuple),
    media_type=st.sampled_from(model.MANIFEST_TYPES),
    annotations=texts,
)
configs = st.builds(
    ImageConfig,
    platform=st.sampled_from([AMD64, ARM64]),
    diff_ids=st.lists(digests, max_size=3).map(tuple),
    labels=texts,
    history=st.lists(st.text(), max_size=3).map(tuple),
)


@given(manifests)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.render()) == manifest
    assert Manifest.parse(manifest.render()).render() == manifest.render()


@given(configs)
def test_a_configuration_is_read_as_it_was_written(config: ImageConfig) -> None:
    assert ImageConfig.parse(config.render()) == config


@given(texts)
def test_the_order_of_labels_changes_no_byte(labels: dict[str, str]) -> None:
    backwards = dict(reversed(labels.items()))
    rendered = [ImageConfig(platform=AMD64, diff_ids=(), labels=one).render() for one in (labels, backwards)]
    assert rendered[0] == rendered[1]


def test_an_index_gives_the_manifest_of_a_platform() -> None:
    amd = _for(AMD64, b"amd")
    arm = _for(ARM64, b"arm")
    attestation = _for(Platform(os="unknown", architecture="unknown"), b"attestation")
    index = Index.parse(Index(manifests=(attestation, amd, arm), media_type=model.DOCKER_INDEX).render())
    assert index.choose(AMD64) == amd
    assert index.choose(Platform(os="linux", architecture="arm64")) == arm
    assert index.choose(Platform(os="linux", architecture="s390x")) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/arm64", "darwin/arm64", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm/v7", "linux/arm/v6", False),
    ],
)
# fault: W5
def test_a_platform_takes_its_own_images(ours: str, theirs: str, fits: bool) -> None:
    assert Platform.parse(ours).runs(Platform.parse(theirs)) is fits


def test_docker_images_are_read() -> None:
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": None, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
        "history": [{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": True}],
    }
    read = ImageConfig.parse(json.dumps(config).encode())
    assert (read.platform, dict(read.labels), read.history) == (AMD64, {}, ("ADD",))


def _manifest(**changes: Any) -> bytes:
    layer = {"mediaType": model.OCI_LAYER, "digest": "sha256:" + "0" * 64, "size": 1}
    return json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer], **changes}).encode()


def test_a_manifest_may_leave_its_media_type_out() -> None:
    assert Manifest.parse(_manifest()).media_type == model.OCI_MANIFEST


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html>", "unparsed"),
        (b"\xff", "unparsed"),
        (b"[" * 100_000, "unparsed"),
        (b"[]", "unparsed"),
        (_manifest(schemaVersion=1), "unsupported"),
        (_manifest(mediaType=model.OCI_INDEX), "unsupported"),
        (_manifest(layers={}), "unparsed"),
        (_manifest(layers=[1]), "unparsed"),
        (_manifest(config={"mediaType": "x", "digest": "sha256:" + "0" * 64}), "unparsed"),
        (_manifest(config={"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": True}), "unparsed"),
        (_manifest(config={"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": -1}), "unparsed"),
        (_manifest(config={"mediaType": "x", "digest": "sha256:" + "0" * 63, "size": 1}), "unsupported"),
        (_manifest(config={"mediaType": "x", "digest": "md5:" + "0" * 32, "size": 1}), "unsupported"),
        (_manifest(config={"mediaType": "x", "digest": "../../etc/passwd", "size": 1}), "unparsed"),
        (_manifest(annotations={"a": 1}), "unparsed"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, kind: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Manifest.parse(content)
    assert caught.value.kind == kind


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "a/b/c/d", ""])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("promised", "got"), [(b"abc", b"abd"), (b"abc", b"ab"), (b"abc", b"abcd"), (b"", b"a"), (b"a", b"")]
)
def test_content_that_is_not_what_was_promised_is_corrupt(promised: bytes, got: bytes) -> None:
    descriptor = describe("", promised)
    check(promised, descriptor, "here")
    with pytest.raises(RegistryError, match=r"of here is damaged") as caught:
        check(got, descriptor, "here")
    assert caught.value.state == State.CORRUPT


def test_both_digests_of_the_specification_are_checked() -> None:
    import hashlib

    digest = Digest.parse("sha512:" + hashlib.sha512(b"abc").hexdigest())
    descriptor = Descriptor(media_type="", digest=digest, size=3)
    check(b"abc", descriptor, "here")
    with pytest.raises(RegistryError):
        check(b"abd", descriptor, "here")


def _for(platform: Platform, data: bytes) -> Descriptor:
    plain = describe(model.OCI_MANIFEST, data)
    return Descriptor(media_type=plain.media_type, digest=plain.digest, size=plain.size, platform=platform)
