"""The registry client and a real registry: open to all over plain HTTP, and for one user over TLS."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci import model
from pg_ephemeral.oci.credentials import Credential, Owner, anonymous, keychain
from pg_ephemeral.oci.model import Descriptor, ImageConfig, Manifest, Platform, describe
from pg_ephemeral.oci.probe import probe
from pg_ephemeral.oci.reference import Name, Reference, Tag
from pg_ephemeral.oci.registry import RegistryOptions, RegistryStore
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import BlobSource, Readable, StoredImage, copy, find_image
from support import registry as support
from support.registry import PASSWORD, USER, Registry
from support.token_server import TokenServer, token_server

pytestmark = pytest.mark.needs("registry")

AMD64 = Platform(os="linux", architecture="amd64")
LAYERS = (random.Random(1).randbytes(3_000_000), random.Random(2).randbytes(1_000))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with support.running(tmp_path_factory.mktemp("registry") / "plain") as registry:
        yield registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with support.running(tmp_path_factory.mktemp("registry") / "guarded", tls=True, login=True) as registry:
        yield registry


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, TokenServer]]:
    directory = tmp_path_factory.mktemp("registry")
    with (
        token_server(directory, f"{USER}:{PASSWORD}") as server,
        support.running(directory / "tokens", auth=server.settings) as registry,
    ):
        yield registry, server


def options(registry: Registry, credential: Credential | None = None) -> RegistryOptions:
    return RegistryOptions(keychain=anonymous if credential is None else lambda _: credential, places=registry.places)


TESTER = Credential(username=USER, password=PASSWORD)


def tip(registry: Registry, path: str) -> Reference:
    return Reference(name=registry.repository(path), tag=Tag.parse("tip"))


def source(data: bytes) -> BlobSource:
    @contextmanager
    def opened() -> Iterator[Readable]:
        yield BytesIO(data)

    return opened


def push(store: RegistryStore, reference: Reference, *layers: bytes) -> StoredImage:
    """Push an image whose layers are tars in name only."""
    described = tuple(describe(model.OCI_LAYER, layer) for layer in layers)
    config = ImageConfig(
        platform=AMD64, diff_ids=tuple(one.digest for one in described), labels={"a": "label"}, history=("made",) * 2
    ).render()
    manifest = Manifest(config=describe(model.OCI_CONFIG, config), layers=described)
    for descriptor, data in zip(manifest.blobs, (config, *layers), strict=True):
        store.put_blob(reference.name, descriptor, source(data))
    store.put_manifest(reference, manifest.media_type, manifest.render())
    found = find_image(store, reference, AMD64)
    assert found is not None
    assert found.manifest == manifest
    return found


def read(store: RegistryStore, name: Name, descriptor: Descriptor) -> bytes:
    with store.open_blob(name, descriptor) as blob:
        return blob.read()


@pytest.mark.parametrize("kind", ["plain", "guarded"])
def test_what_is_pushed_can_be_pulled(kind: str, request: pytest.FixtureRequest) -> None:
    registry: Registry = request.getfixturevalue(kind)
    reference = tip(registry, "owner/round-trip")
    with RegistryStore(options(registry, TESTER)) as store:
        assert store.resolve(reference) is None
        assert store.manifest(reference) is None
        image = push(store, reference, *LAYERS)
        assert store.resolve(reference) == image.content.descriptor
        assert tuple(read(store, reference.name, layer) for layer in image.manifest.layers) == LAYERS
        by_digest = Reference(name=reference.name, digest=image.content.descriptor.digest)
        assert store.manifest(by_digest) == image.content


# fault: W2
# fault: W10
def test_what_is_there_is_not_sent_again(plain: Registry) -> None:
    reference, other = tip(plain, "owner/twice"), tip(plain, "owner/mounted")
    with RegistryStore(options(plain)) as store:
        image = push(store, reference, *LAYERS)
        before = len(plain.requests())
        assert copy(image, store, store).sent == ()
        assert [method for method, _, _ in plain.requests()[before:]] == [*["HEAD"] * 3, "PUT"]
        before = len(plain.requests())
        assert copy(image, store, store, to=other, mount_from=[reference.name]).sent == ()
        puts = [path for method, path, _ in plain.requests()[before:] if method in ("PUT", "PATCH")]
        assert puts == ["/v2/owner/mounted/manifests/tip"]
        assert read(store, other.name, image.manifest.layers[0]) == LAYERS[0]


def test_a_real_registry_takes_chunks(plain: Registry) -> None:
    data = random.Random(3).randbytes(12_000_000)
    descriptor, name = describe(model.OCI_LAYER, data), plain.repository("owner/chunks")
    with RegistryStore(options(plain)) as store:
        store._upload(name, descriptor, source(data))._in_chunks()
        assert read(store, name, descriptor) == data
    assert sum("owner/chunks" in path for method, path, _ in plain.requests() if method == "PATCH") == 3


def test_many_push_the_same_image_at_once(plain: Registry) -> None:
    reference = tip(plain, "owner/crowd")

    def pushing(_number: int) -> StoredImage:
        with RegistryStore(options(plain)) as store:
            return push(store, reference, *LAYERS)

    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(pushing, range(8)))
    assert len({image.content.descriptor.digest for image in images}) == 1


@pytest.mark.parametrize(
    ("credential", "state"),
    [(None, State.NOT_LOGGED_IN), (replace(TESTER, password="wrong"), State.BAD_CREDENTIALS)],
)
def test_a_login_that_is_missing_or_wrong_is_said(
    guarded: Registry, credential: Credential | None, state: State
) -> None:
    reference = tip(guarded, "owner/private")
    chosen = options(guarded, credential)
    assert probe([reference], chosen)[reference].state is state
    with RegistryStore(chosen) as store, pytest.raises(RegistryError) as caught:
        store.put_blob(reference.name, describe("", b"x"), source(b"x"))
    assert caught.value.state == state
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"


def test_an_authority_we_do_not_know_is_said(guarded: Registry) -> None:
    reference = tip(guarded, "owner/private")
    finding = probe([reference], replace(options(guarded, TESTER), places=()))[reference]
    assert finding.state is State.TLS
    assert finding.error is not None
    assert guarded.host in finding.error.message
    assert finding.error.hint is not None
    assert "certs.d" in finding.error.hint


def test_an_authority_may_be_named_in_the_environment(guarded: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(guarded.authority))
    reference = tip(guarded, "owner/absent")
    assert probe([reference], replace(options(guarded, TESTER), places=()))[reference].state is State.ABSENT


def test_an_authority_that_cannot_be_read_is_named(guarded: Registry, tmp_path: Path) -> None:
    place = tmp_path / guarded.host
    place.mkdir()
    (place / "ca.crt").write_text("not a certificate")
    reference = tip(guarded, "owner/absent")
    finding = probe([reference], replace(options(guarded, TESTER), places=(tmp_path,)))[reference]
    assert finding.state is State.TLS
    assert str(place / "ca.crt") in str(finding.error)


def test_the_credentials_of_docker_login_are_used(guarded: Registry, tmp_path: Path) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {guarded.host: {"auth": auth}}}))
    find = keychain(Owner.DOCKER, {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)})
    reference = tip(guarded, "owner/absent")
    assert probe([reference], replace(options(guarded), keychain=find))[reference].state is State.ABSENT


def test_plain_http_to_other_machines_must_be_permitted(plain: Registry) -> None:
    # An address that is not known to be this machine, and is.
    reference = Reference(name=Name.parse(f"0.0.0.0:{plain.port}/owner/app"), tag=Tag.parse("tip"))
    finding = probe([reference], options(plain))[reference]
    assert finding.state is State.TLS
    assert finding.error is not None
    assert finding.error.hint == "does it speak plain HTTP?"
    assert probe([reference], replace(options(plain), insecure=True))[reference].state is State.ABSENT


def test_insecure_does_not_mean_that_any_certificate_will_do(guarded: Registry) -> None:
    reference = Reference(name=Name.parse(f"0.0.0.0:{guarded.port}/owner/app"), tag=Tag.parse("tip"))
    finding = probe([reference], replace(options(guarded, TESTER), insecure=True, places=()))[reference]
    assert finding.state is State.TLS


# fault: W12
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1] + b"!", lambda data: data[:-10], lambda data: data + b"!", lambda _data: None],
    ids=["wrong", "short", "long", "gone"],
)
def test_a_damaged_blob_is_corrupt(
    tmp_path: Path, plain: Registry, damage: Callable[[bytes], bytes | None], request: pytest.FixtureRequest
) -> None:
    layer = request.node.callspec.id.encode() * 10_000
    reference = tip(plain, "owner/damaged")
    with RegistryStore(options(plain)) as store:
        image = push(store, reference, layer)
        file = plain.blob_file(str(image.manifest.layers[0].digest))
        damaged = damage(layer)
        if damaged is None:
            shutil.rmtree(file.parent)
        else:
            file.write_bytes(damaged)
        with pytest.raises(RegistryError) as caught:
            read(store, reference.name, image.manifest.layers[0])
    assert caught.value.state == State.CORRUPT


def test_tokens_are_asked_for_by_scope(tokens: tuple[Registry, TokenServer]) -> None:
    registry, server = tokens
    public, private = tip(registry, "public/app"), tip(registry, "private/app")
    with RegistryStore(options(registry, TESTER)) as store:
        image = push(store, public, *LAYERS)
        assert copy(image, store, store, to=private, mount_from=[public.name]).sent == ()
        assert find_image(store, private, AMD64) == replace(image, reference=private)
    scopes = [request.query["scope"] for request in server.requests]
    assert scopes[:2] == [["repository:public/app:pull"], ["repository:public/app:pull,push"]]
    assert ["repository:private/app:pull,push", "repository:public/app:pull"] in scopes
    assert len(scopes) == len({tuple(one) for one in scopes})


def test_nobody_may_pull_what_is_public_and_is_not_told_what_is_private(tokens: tuple[Registry, TokenServer]) -> None:
    registry, _ = tokens
    public, private, absent = (tip(registry, path) for path in ("public/open", "private/closed", "private/absent"))
    with RegistryStore(options(registry, TESTER)) as store:
        push(store, public, *LAYERS)
        push(store, private, *LAYERS)
    found = probe([public, private, absent], options(registry))
    assert [found[one].state for one in (public, private, absent)] == [State.PRESENT, State.HIDDEN, State.HIDDEN]
    with RegistryStore(options(registry)) as store:
        image = find_image(store, public, AMD64)
        assert image is not None
        with pytest.raises(RegistryError) as caught:
            copy(image, store, store, to=tip(registry, "public/mine"))
    assert caught.value.state == State.NOT_LOGGED_IN


def test_a_token_server_knows_a_wrong_password(tokens: tuple[Registry, TokenServer]) -> None:
    reference = tip(tokens[0], "public/app")
    finding = probe([reference], options(tokens[0], replace(TESTER, password="wrong")))[reference]
    assert finding.state is State.BAD_CREDENTIALS
    assert "incorrect username or password" in str(finding.error)


@pytest.mark.needs("skopeo")
def test_the_credentials_of_a_podman_login_are_used(guarded: Registry, tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    login = ("login", f"--authfile={file}", "--tls-verify=false", f"--username={USER}", "--password-stdin")
    skopeo(*login, guarded.host, stdin=PASSWORD.encode())
    find = keychain(Owner.PODMAN, {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(file)})
    reference = tip(guarded, "owner/absent")
    assert probe([reference], replace(options(guarded), keychain=find))[reference].state is State.ABSENT


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("kind", ["plain", "guarded"])
def test_others_read_what_we_push(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    registry: Registry = request.getfixturevalue(kind)
    reference = tip(registry, "owner/for-others")
    with RegistryStore(options(registry, TESTER)) as store:
        image = push(store, reference, *LAYERS)
    access = ("--tls-verify=false", f"--creds={USER}:{PASSWORD}") if kind == "guarded" else ("--tls-verify=false",)
    seen = json.loads(skopeo("inspect", *access, f"docker://{reference}"))
    assert seen["Digest"] == str(image.content.descriptor.digest)
    assert (seen["Labels"], seen["Architecture"]) == ({"a": "label"}, "amd64")
    raw = skopeo("inspect", "--raw", *access, f"docker://{reference}")
    assert raw == image.content.data


@pytest.mark.needs("skopeo")
def test_we_read_what_others_push(plain: Registry) -> None:
    ours, theirs = tip(plain, "owner/ours"), tip(plain, "owner/theirs")
    with RegistryStore(options(plain)) as store:
        image = push(store, ours, *map(_tar, LAYERS))
        skopeo(
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--format=v2s2",
            f"docker://{ours}",
            f"docker://{theirs}",
        )
        found = find_image(store, theirs, AMD64)
        assert found is not None
        assert found.manifest.media_type == model.DOCKER_MANIFEST
        assert found.config.labels == image.config.labels
        assert found.config.diff_ids == image.config.diff_ids


TRANSFER = """
import hashlib, resource, sys
from contextlib import contextmanager
from pathlib import Path
from pg_ephemeral.oci import model
from pg_ephemeral.oci.credentials import anonymous
from pg_ephemeral.oci.model import Descriptor
from pg_ephemeral.oci.reference import Digest, Name
from pg_ephemeral.oci.registry import RegistryOptions, RegistryStore

file, name = Path(sys.argv[1]), Name.parse(sys.argv[2])

@contextmanager
def opened():
    with file.open("rb") as stream:
        yield stream

with file.open("rb") as stream:
    digest = Digest.parse("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())
blob = Descriptor(media_type=model.OCI_LAYER, digest=digest, size=file.stat().st_size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with RegistryStore(RegistryOptions(keychain=anonymous)) as store:
    assert store.put_blob(name, blob, opened)
    size = 0
    with store.open_blob(name, blob) as stream:
        while piece := stream.read(1024 * 1024):
            size += len(piece)
assert size == blob.size
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_blob(plain: Registry, tmp_path: Path) -> None:
    grown = []
    for size in (20, 300):
        file = tmp_path / str(size)
        with file.open("wb") as stream:
            stream.truncate(size * 1024 * 1024)
        name = plain.repository(f"owner/large-{size}")
        done = subprocess.run(
            (sys.executable, "-c", TRANSFER, str(file), str(name)), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        grown.append(int(done.stdout) // 1024)
    # In MiB, over what Python needs without a registry; urllib3 and OpenSSL are most of it.
    assert grown[1] < grown[0] + 10
    assert grown[1] < 60


def skopeo(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(("skopeo", *arguments), input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _tar(data: bytes) -> bytes:
    import tarfile

    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("data")
        entry.size = len(data)
        archive.addfile(entry, BytesIO(data))
    return packed.getvalue()
