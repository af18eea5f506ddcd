"""The registry client against a registry that misbehaves on order: who we are, what fails, what is tried again."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from pg_ephemeral.errors import CacheError, RegistryError
from pg_ephemeral.oci import model
from pg_ephemeral.oci.credentials import Credential, anonymous
from pg_ephemeral.oci.model import Descriptor, ImageConfig, Index, Manifest, Platform, describe
from pg_ephemeral.oci.patience import Patience
from pg_ephemeral.oci.probe import probe
from pg_ephemeral.oci.reference import Name, Reference, Tag
from pg_ephemeral.oci.registry import RegistryOptions, RegistryStore
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import BlobSource, Readable, copy, find_image
from pg_ephemeral.oci.transport import Timeouts
from support.bad_registry import BadRegistry, Reply, Request, always, error, once, running

USER = Credential(username="user", password="secret-password")
LOGGED_IN = "Basic " + base64.b64encode(b"user:secret-password").decode()
AMD64 = Platform(os="linux", architecture="amd64")
BLOB = random.Random(1).randbytes(3_000_000)
TAG = Tag.parse("tip")
MANIFESTS = "/v2/owner/app/manifests/.*"
BLOBS = "/v2/owner/app/blobs/sha256:.*"
UPLOADS = "/v2/owner/app/blobs/uploads/.*"


class Pauses:
    """The pauses of a client that does not really wait."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.now += seconds

    @property
    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def registry() -> Iterator[BadRegistry]:
    with running() as one:
        yield one


@pytest.fixture
def options(pauses: Pauses) -> RegistryOptions:
    return RegistryOptions(keychain=anonymous, places=(), patience=pauses.patience)


@pytest.fixture
def client(options: RegistryOptions) -> Iterator[Callable[..., RegistryStore]]:
    """Makes clients, as nobody unless changed."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(RegistryStore(replace(options, **changes)))


def tip(registry: BadRegistry, path: str = "owner/app") -> Reference:
    return Reference(name=registry.repository(path), tag=TAG)


def source(data: bytes) -> BlobSource:
    @contextmanager
    def opened() -> Iterator[Readable]:
        yield BytesIO(data)

    return opened


def trickling(data: bytes, pauses: Pauses) -> BlobSource:
    """A source that takes ten seconds for each piece."""

    class Slow(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            pauses.now += 10
            return super().read(size)

    @contextmanager
    def opened() -> Iterator[Readable]:
        yield Slow(data)

    return opened


def keep_image(registry: BadRegistry, *layers: bytes, path: str = "owner/app") -> Manifest:
    described = tuple(describe(model.OCI_LAYER, layer) for layer in layers)
    config = ImageConfig(platform=AMD64, diff_ids=tuple(one.digest for one in described)).render()
    manifest = Manifest(config=describe(model.OCI_CONFIG, config), layers=described)
    for data in (config, *layers):
        registry.keep_blob(data)
    registry.keep_manifest(path, "tip", model.OCI_MANIFEST, manifest.render())
    return manifest


def bearer(registry: BadRegistry, *, credentials: str | None = None) -> Callable[[Request], Reply | None]:
    """Wants a token for the scope, and gives it to anybody, or to whoever has the credentials."""
    realm = f"http://{registry.host}/token"
    tokens: dict[str, str] = {}

    def give(request: Request) -> Reply:
        if credentials is not None and request.authorization != credentials:
            return error(401, "UNAUTHORIZED", "authentication required")
        token = f"token-{len(tokens)}"
        tokens[f"Bearer {token}"] = " ".join(request.query.get("scope", []))
        return Reply(body=json.dumps({"token": token, "expires_in": 300}).encode())

    def check(request: Request) -> Reply | None:
        path = request.path.removeprefix("/v2/").split("/manifests/")[0].split("/blobs/")[0]
        actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        granted = tokens.get(request.authorization or "", "")
        if any(f"{path}:{enough}" in granted for enough in {actions, "pull,push"}):
            return None
        scope = f"repository:{path}:{actions}"
        header = f'Bearer realm="{realm}",service="it",scope="{scope}"'
        if request.authorization:
            header += ',error="insufficient_scope"'
        return error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=header)

    registry.on("*", "/token", give)
    registry.on("*", "/v2/.+", check)
    return check


def basic(registry: BadRegistry) -> None:
    refusal = error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="it"')
    registry.on("*", "/v2/.+", lambda request: None if request.authorization == LOGGED_IN else refusal)


# Who we are


def test_nobody_is_asked_for_credentials_before_the_registry_wants_them(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    keep_image(registry, BLOB)

    def asked(_name: Name) -> Credential | None:
        raise AssertionError

    assert client(keychain=asked).resolve(tip(registry)) is not None
    assert all(request.authorization is None for request in registry.requests)


def test_a_token_is_fetched_once_per_scope(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    bearer(registry)
    manifest = keep_image(registry, BLOB)
    store = client()
    for _ in range(3):
        assert store.resolve(tip(registry)) == store.manifest(tip(registry)).descriptor  # type: ignore[union-attr] # it is there
        assert store.has_blob(registry.repository(), manifest.layers[0])
    assert len(registry.asked("GET", "/token")) == 1
    assert store.put_blob(registry.repository(), describe("", b"new"), source(b"new"))
    assert [request.query["scope"] for request in registry.asked("GET", "/token")] == [
        ["repository:owner/app:pull"],
        ["repository:owner/app:pull,push"],
    ]
    assert len([one for one in registry.requests if one.authorization is None and one.path != "/token"]) == 2


def test_a_token_is_asked_for_with_our_credentials_which_go_nowhere_else(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    bearer(registry, credentials=LOGGED_IN)
    keep_image(registry, BLOB)
    assert client(keychain=lambda _: USER).resolve(tip(registry)) is not None
    assert {one.path for one in registry.requests if one.authorization == LOGGED_IN} == {"/token"}


def test_an_identity_token_is_exchanged(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    bearer(registry)
    keep_image(registry, BLOB)
    store = client(keychain=lambda _: Credential(identity_token="the secret"))
    registry.on("POST", "/token", always(error(401, "UNAUTHORIZED", "no")), first=True)
    assert _state(lambda: store.resolve(tip(registry))) is State.BAD_CREDENTIALS
    assert b"grant_type=refresh_token" in registry.asked("POST", "/token")[0].body
    assert b"refresh_token=the+secret" in registry.asked("POST", "/token")[0].body


def test_a_token_that_has_run_out_is_replaced(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    check = bearer(registry)
    keep_image(registry, BLOB)
    store = client()
    assert store.resolve(tip(registry))
    forgotten = replace(registry.asked("HEAD")[-1], headers={})
    registry.on("HEAD", MANIFESTS, once(check(forgotten)), first=True)
    assert store.resolve(tip(registry))
    assert len(registry.asked("GET", "/token")) == 2


def test_basic_credentials_are_sent_once_they_are_wanted(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    basic(registry)
    keep_image(registry, BLOB)
    store = client(keychain=lambda _: USER)
    assert store.resolve(tip(registry)) is not None
    assert store.put_blob(registry.repository(), describe("", b"new"), source(b"new"))
    assert [one.authorization for one in registry.requests if one.path != "/v2/"].count(None) == 1


@pytest.mark.parametrize(
    ("credential", "state"), [(None, State.NOT_LOGGED_IN), (replace(USER, password="wrong"), State.BAD_CREDENTIALS)]
)
def test_basic_credentials_missing_or_wrong(
    registry: BadRegistry, client: Callable[..., RegistryStore], credential: Credential | None, state: State
) -> None:
    basic(registry)
    store = client(keychain=lambda _: credential)
    assert _state(lambda: store.resolve(tip(registry))) is state
    assert _state(lambda: store.put_manifest(tip(registry), model.OCI_MANIFEST, b"{}")) is state


def test_a_realm_that_is_not_trusted_gets_nothing(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    challenge = 'Bearer realm="file:///token",service="it"'
    registry.on("*", "/v2/.+", always(error(401, WWW_Authenticate=challenge)))
    with pytest.raises(RegistryError, match="no business"):
        client(keychain=lambda _: USER).resolve(tip(registry))


# The rows of the table of answers, through the whole client: manifest's answer, token's answer, expected state.

REQUESTED = "requested access to the resource is denied"
SCOPE = 'Bearer realm="http://{host}/token",service="it",scope="repository:owner/app:pull"'
INSUFFICIENT = SCOPE + ',error="insufficient_scope"'
TOKEN = Reply(body=b'{"token": "t"}')

ROWS: dict[str, tuple[Reply, Reply | None, State, State]] = {
    "distribution, tag or repository": (error(404, "MANIFEST_UNKNOWN", "manifest unknown"), None, *(State.ABSENT,) * 2),
    "distribution, no credentials": (
        error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="x"'),
        None,
        State.NOT_LOGGED_IN,
        State.BAD_CREDENTIALS,
    ),
    "distribution, scope": (error(401, "UNAUTHORIZED", WWW_Authenticate=INSUFFICIENT), TOKEN, *(State.HIDDEN,) * 2),
    "Docker Hub, repository": (
        error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=INSUFFICIENT),
        TOKEN,
        State.HIDDEN,
        State.HIDDEN,
    ),
    "Docker Hub, wrong password": (
        error(401, "UNAUTHORIZED", WWW_Authenticate=SCOPE),
        Reply(401, b'{"details":"incorrect username or password"}'),
        State.NOT_LOGGED_IN,
        State.BAD_CREDENTIALS,
    ),
    "ghcr.io, repository": (
        error(401, "UNAUTHORIZED", WWW_Authenticate=SCOPE),
        error(403, "DENIED", REQUESTED),
        State.HIDDEN,
        State.HIDDEN,
    ),
    "ghcr.io, private": (
        error(401, "UNAUTHORIZED", WWW_Authenticate=SCOPE),
        error(401, "UNAUTHORIZED", "authentication required"),
        State.NOT_LOGGED_IN,
        State.BAD_CREDENTIALS,
    ),
    "ghcr.io, repository, logged in": (error(404, "NAME_UNKNOWN"), None, State.ABSENT, State.ABSENT),
    "ghcr.io, not ours": (error(403, "DENIED", REQUESTED), None, State.HIDDEN, State.HIDDEN),
    "ghcr.io, no permission": (error(403, "DENIED", "permission_denied: read_package"), None, *(State.DENIED,) * 2),
    "ECR, tag": (error(404, "MANIFEST_UNKNOWN", "Requested image not found"), None, State.ABSENT, State.ABSENT),
    "ECR, repository": (error(404, "NAME_UNKNOWN", "The repository with name 'x' …"), None, *(State.ABSENT,) * 2),
    "ECR, expired": (error(403, "DENIED", "Your authorization token has expired."), None, *(State.DENIED,) * 2),
    "ECR, IAM": (error(403, "DENIED", "User: x is not authorized to perform: y"), None, *(State.DENIED,) * 2),
    "Artifact Registry, repository": (error(404, "NAME_UNKNOWN", "not found"), None, State.ABSENT, State.ABSENT),
    "Artifact Registry, permission": (
        error(403, "DENIED", 'Permission "x" denied on resource "y" (or it may not exist)'),
        None,
        State.HIDDEN,
        State.HIDDEN,
    ),
    "Harbor, tag or repository": (error(404, "NOT_FOUND", "artifact p/r:t not found"), None, *(State.ABSENT,) * 2),
    "Harbor, project": (
        error(401, "UNAUTHORIZED", "unauthorized to access repository", WWW_Authenticate=SCOPE),
        TOKEN,
        State.HIDDEN,
        State.HIDDEN,
    ),
    "Quay, expired tag": (error(404, "TAG_EXPIRED", "Tag t was deleted or has expired."), None, *(State.ABSENT,) * 2),
    "Quay, repository": (
        error(401, "UNAUTHORIZED", "access to the requested resource is not authorized", WWW_Authenticate=SCOPE),
        TOKEN,
        State.HIDDEN,
        State.HIDDEN,
    ),
    "GitLab, repository": (
        error(401, "UNAUTHORIZED", WWW_Authenticate=SCOPE),
        error(403, "DENIED", "access forbidden"),
        State.HIDDEN,
        State.HIDDEN,
    ),
    "zot, repository": (error(404, "NAME_UNKNOWN", "repository name not known"), None, State.ABSENT, State.ABSENT),
    "zot, denied": (error(403, "DENIED", "requested access"), None, State.HIDDEN, State.HIDDEN),
    "registry.redhat.io, JSON": (error(404, "404", "Not Found"), None, State.ABSENT, State.ABSENT),
    "registry.redhat.io, text": (Reply(404, b"Not found"), None, State.ABSENT, State.ABSENT),
    "a proxy's page": (Reply(404, b"<html>404</html>"), None, State.ABSENT, State.ABSENT),
    "rate limit": (error(429, "TOOMANYREQUESTS", "You have reached your limit"), None, *(State.RATE_LIMITED,) * 2),
    "rate limit, text": (Reply(429, b"slow down"), None, State.RATE_LIMITED, State.RATE_LIMITED),
    "rate limit, token": (
        error(401, "UNAUTHORIZED", WWW_Authenticate=SCOPE),
        error(429, "TOOMANYREQUESTS"),
        State.RATE_LIMITED,
        State.RATE_LIMITED,
    ),
    "500": (Reply(500), None, State.DOWN, State.DOWN),
    "502": (Reply(502, b"<html>"), None, State.DOWN, State.DOWN),
    "503": (error(503, "UNAVAILABLE"), None, State.DOWN, State.DOWN),
    "hung up": (Reply(hang_up=True), None, State.DOWN, State.DOWN),
    "no known answer": (Reply(418), None, State.UNKNOWN, State.UNKNOWN),
}


@pytest.mark.parametrize("credential", [None, USER], ids=["nobody", "user"])
@pytest.mark.parametrize("row", ROWS)
# fault: W3
def test_every_row_of_answers_has_its_state(
    registry: BadRegistry, options: RegistryOptions, row: str, credential: Credential | None
) -> None:
    manifest, token, nobody, user = ROWS[row]
    challenge = manifest.headers.get("WWW-Authenticate")
    if challenge is not None:
        manifest = replace(manifest, headers={"WWW-Authenticate": challenge.replace("{host}", registry.host)})
    registry.on("*", MANIFESTS, always(manifest))
    registry.on("*", "/token", always(token or TOKEN))
    chosen = replace(options, keychain=lambda _: credential)
    finding = probe([tip(registry)], chosen, settle=False)[tip(registry)]
    assert finding.state is (nobody if credential is None else user)
    if finding.error is not None:
        _reveals_nothing(finding.error)
    with RegistryStore(chosen) as store:
        if finding.state is State.ABSENT:
            assert store.resolve(tip(registry)) is None
            assert store.manifest(tip(registry)) is None
            assert find_image(store, tip(registry), AMD64) is None
        else:
            assert _state(lambda: store.manifest(tip(registry))) is finding.state


# Reading


def test_all_types_are_accepted_in_one_header(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    client().resolve(tip(registry))
    (request,) = registry.asked("HEAD", MANIFESTS)
    assert set(request.headers["accept"].split(", ")) == {*model.MANIFEST_TYPES, *model.INDEX_TYPES}


@pytest.mark.parametrize("head", [Reply(405), Reply(400), Reply(403), Reply(200, b"x", {"Content-Type": "text/html"})])
def test_a_registry_that_does_not_know_head_is_asked_with_get(
    registry: BadRegistry, client: Callable[..., RegistryStore], head: Reply
) -> None:
    manifest = keep_image(registry, BLOB)
    registry.on("HEAD", MANIFESTS, always(head))
    found = client().resolve(tip(registry))
    assert found == describe(model.OCI_MANIFEST, manifest.render())


# fault: W12
def test_a_manifest_that_is_not_what_its_digest_says_is_corrupt(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    data = keep_image(registry, BLOB).render()
    other = describe("", b"other").digest
    headers = {"Content-Type": model.OCI_MANIFEST, "Docker-Content-Digest": str(other)}
    registry.on("GET", MANIFESTS, always(Reply(body=data, headers=headers)))
    store = client()
    assert _state(lambda: store.manifest(tip(registry))) is State.CORRUPT
    assert _state(lambda: store.manifest(Reference(name=registry.repository(), digest=other))) is State.CORRUPT


def test_a_manifest_without_end_is_not_read(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    registry.on("GET", MANIFESTS, always(Reply(body=b" " * 5_000_000)))
    assert _state(lambda: client().manifest(tip(registry))) is State.CORRUPT


def test_a_cut_blob_is_read_on(registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    cuts = iter([1_000_000, 500_000, 0, 800_000])

    def cut(request: Request) -> Reply | None:
        reply = registry.properly(request)
        at = next(cuts, None)
        return reply if at is None else replace(reply, cut=at)

    registry.on("GET", BLOBS, cut)
    assert read(client(), registry, layer) == BLOB
    ranges = [request.headers.get("range") for request in registry.asked("GET", BLOBS)]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-", "bytes=2300000-"]
    assert len(pauses.taken) == 4


def test_a_registry_without_ranges_is_read_from_the_start_again(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    registry.on("GET", BLOBS, once(Reply(body=BLOB, cut=2_000_000), Reply(body=BLOB)))
    assert read(client(), registry, layer) == BLOB


def test_a_blob_that_is_always_cut_is_given_up(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses
) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    registry.on("GET", BLOBS, always(Reply(body=BLOB, cut=0)))
    assert _state(lambda: read(client(), registry, layer)) is State.DOWN
    assert len(pauses.taken) == 4


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=BLOB[:-1] + b"!"),
        Reply(body=BLOB[:-1]),
        Reply(body=BLOB + b"!"),
        Reply(body=b""),
        Reply(404, b""),
        Reply(206, BLOB[1:], {"Content-Range": "bytes 1-2999999/3000000"}),
    ],
    ids=["wrong", "short", "long", "empty", "gone", "from the middle"],
)
# fault: W12
def test_a_wrong_blob_is_corrupt_and_never_whole(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses, reply: Reply
) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    registry.on("GET", BLOBS, always(reply))
    got = bytearray()
    with client().open_blob(registry.repository(), layer) as blob, pytest.raises(RegistryError) as caught:
        list(map(got.extend, iter(lambda: blob.read(100_000), b"")))
    assert caught.value.state == State.CORRUPT
    assert len(got) < len(BLOB)
    assert pauses.taken == []


def test_a_download_that_trickles_is_given_up(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses
) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    with client(blob_limit=100.0).open_blob(registry.repository(), layer) as blob:
        assert blob.read(1000)
        pauses.now += 100
        assert blob.read(1000)
        pauses.now += 1
        with pytest.raises(RegistryError, match="not transferred within 100 s") as caught:
            blob.read(1000)
    assert caught.value.state == State.DOWN


def test_an_upload_that_trickles_is_given_up(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses
) -> None:
    with pytest.raises(RegistryError, match="not transferred within 100 s") as caught:
        client(blob_limit=100.0).put_blob(registry.repository(), describe("", BLOB), trickling(BLOB, pauses))
    assert caught.value.state == State.DOWN
    assert registry.blobs == {}


def test_an_empty_blob_can_be_read(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    registry.keep_blob(b"")
    assert read(client(), registry, describe("", b"")) == b""


def test_credentials_do_not_follow_a_redirect_to_another_host(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    basic(registry)
    layer = keep_image(registry, BLOB).layers[0]
    with running() as storage:
        storage.on("GET", "/signed", always(Reply(body=BLOB)))
        target = {"Location": f"http://{storage.host}/signed?signature=secret"}
        registry.on("GET", BLOBS, lambda one: Reply(307, headers=target) if one.authorization else None, first=True)
        assert read(client(keychain=lambda _: USER), registry, layer) == BLOB
        assert [request.authorization for request in storage.requests] == [None]


def test_credentials_follow_a_redirect_within_the_registry(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    basic(registry)
    layer = keep_image(registry, BLOB).layers[0]
    registry.on("GET", "/v2/elsewhere", always(Reply(body=BLOB)))
    registry.on(
        "GET", BLOBS, lambda one: Reply(302, headers={"Location": "/v2/elsewhere"}) if one.authorization else None
    )
    assert read(client(keychain=lambda _: USER), registry, layer) == BLOB


SIGNED = "X-Amz-Signature=signed-by-us"
UNREADABLE = [
    f"https://storage.test:99999/blob?{SIGNED}",
    f"https://storage.test:port/blob?{SIGNED}",
    f"https://[::1/blob?{SIGNED}",
    f"https://user:password@[bad]/blob?{SIGNED}",
    f"https://sto rage/blob?{SIGNED}",
    f"https://{'x' * 70}.test/blob?{SIGNED}",
    f"https:///blob?{SIGNED}",
]


@pytest.mark.parametrize("credential", [None, USER], ids=["nobody", "user"])
@pytest.mark.parametrize("location", UNREADABLE)
def test_a_redirect_to_an_address_that_is_none_is_an_error_that_does_not_repeat_it(
    registry: BadRegistry, client: Callable[..., RegistryStore], location: str, credential: Credential | None
) -> None:
    if credential is not None:
        basic(registry)
    layer = keep_image(registry, BLOB).layers[0]
    registry.on("GET", BLOBS, always(Reply(307, headers={"Location": location})))
    with pytest.raises(RegistryError) as caught:
        read(client(keychain=lambda _: credential), registry, layer)
    assert caught.value.state in (State.UNKNOWN, State.DOWN), caught.value.message
    shown = "".join(traceback.format_exception(caught.value))
    assert "signed-by-us" not in shown
    assert "user:password" not in shown


@pytest.mark.parametrize("location", UNREADABLE)
def test_an_upload_to_an_address_that_is_none_is_an_error(
    registry: BadRegistry, client: Callable[..., RegistryStore], location: str
) -> None:
    registry.on("POST", UPLOADS, always(Reply(202, headers={"Location": location})))
    with pytest.raises(RegistryError) as caught:
        client().put_blob(registry.repository(), describe("", BLOB), source(BLOB))
    assert caught.value.state in (State.UNKNOWN, State.DOWN), caught.value.message
    assert "signed-by-us" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("realm", ["https://host:port/token", "https://[::1/token", "https:///token"])
def test_a_realm_that_is_no_address_is_an_error(
    registry: BadRegistry, client: Callable[..., RegistryStore], realm: str
) -> None:
    registry.on("*", "/v2/.+", always(error(401, WWW_Authenticate=f'Bearer realm="{realm}"')))
    assert _state(lambda: client().resolve(tip(registry))) is State.UNKNOWN


def test_a_signed_address_that_cannot_be_reached_is_not_repeated(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    with running() as gone:
        target = f"http://user:password@{gone.host}/blob?{SIGNED}"
    registry.on("GET", BLOBS, always(Reply(307, headers={"Location": target})))
    with pytest.raises(RegistryError) as caught:
        read(client(), registry, layer)
    assert gone.host in caught.value.message
    assert SIGNED not in caught.value.message
    assert "password" not in caught.value.message


def test_what_a_registry_says_is_repeated_without_its_signatures(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    words = f"look at https://user:password@storage.test/a/b?{SIGNED} and elsewhere"
    registry.on("*", MANIFESTS, always(error(418, "TEAPOT", words)))
    with pytest.raises(RegistryError, match=r"look at https://storage.test/a/b\?… and elsewhere"):
        client().resolve(tip(registry))


def test_redirects_end(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    registry.on("GET", BLOBS, lambda one: Reply(307, headers={"Location": one.path}))
    assert _state(lambda: read(client(), registry, layer)) is State.UNKNOWN


# Trying again


@pytest.mark.parametrize("trouble", [Reply(500), Reply(503), Reply(hang_up=True), Reply(429)])
# fault: W4
def test_what_passes_is_waited_for(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses, trouble: Reply
) -> None:
    keep_image(registry, BLOB)
    registry.on("*", MANIFESTS, once(trouble, trouble))
    assert client().resolve(tip(registry)) is not None
    assert len(pauses.taken) == 2


def test_retry_after_is_obeyed(registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses) -> None:
    keep_image(registry, BLOB)
    registry.on("*", MANIFESTS, once(Reply(429, headers={"Retry-After": "7"})))
    assert client().resolve(tip(registry)) is not None
    assert pauses.taken == [7]


def test_a_long_retry_after_is_reported(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses
) -> None:
    registry.on("*", MANIFESTS, always(Reply(429, headers={"Retry-After": "3600"})))
    with pytest.raises(RegistryError) as caught:
        client().resolve(tip(registry))
    assert (caught.value.state, caught.value.retry_after, pauses.taken) == (State.RATE_LIMITED, 3600, [])
    assert caught.value.hint == "again in 3600 s"


def test_a_registry_that_is_not_there_is_down(client: Callable[..., RegistryStore], pauses: Pauses) -> None:
    with running() as gone:
        reference = tip(gone)
    with pytest.raises(RegistryError, match="refused") as caught:
        client().resolve(reference)
    assert caught.value.state == State.DOWN
    assert len(pauses.taken) == 4


def test_a_registry_that_comes_back_is_spoken_to(options: RegistryOptions) -> None:
    with running() as gone:
        port = gone.port
    with ExitStack() as stack:

        def start(_seconds: float) -> None:
            if not back:
                back.append(stack.enter_context(running(port)))
                keep_image(back[0], BLOB)

        back: list[BadRegistry] = []
        store = stack.enter_context(RegistryStore(replace(options, patience=Patience(sleep=start))))
        assert store.resolve(tip(gone)) is not None


def test_trouble_at_the_first_question_says_nothing_of_the_protocol(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    keep_image(registry, BLOB)
    registry.on("GET", "/v2/", once(Reply(hang_up=True), Reply(hang_up=True)))
    assert client().resolve(tip(registry)) is not None


def test_a_stall_at_the_first_question_says_nothing_of_the_protocol(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    keep_image(registry, BLOB)
    released = threading.Event()
    stall = iter([True])

    def hold(_request: Request) -> Reply | None:
        if next(stall, False):
            released.wait(30)
        return None

    registry.on("GET", "/v2/", hold)
    try:
        assert client(timeouts=Timeouts(connect=5.0, idle=0.5)).resolve(tip(registry)) is not None
    finally:
        released.set()


def test_a_registry_that_never_answers_on_this_machine_is_down(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses
) -> None:
    registry.on("GET", "/v2/", always(Reply(hang_up=True)))
    assert _state(lambda: client().resolve(tip(registry))) is State.DOWN
    assert len(pauses.taken) == 4


@pytest.mark.parametrize("answer", [Reply(400), Reply(raw=b"\x15\x03\x01\x00\x02\x02\x16")], ids=["400", "an alert"])
def test_who_does_not_take_plain_http_is_spoken_to_in_tls(
    registry: BadRegistry, client: Callable[..., RegistryStore], answer: Reply
) -> None:
    registry.on("GET", "/v2/", always(answer))
    assert _state(lambda: client(timeouts=Timeouts(connect=0.5, idle=0.5)).resolve(tip(registry))) in (
        State.TLS,
        State.DOWN,
    )
    assert registry.asked("HEAD") == [], "nothing more is said in plain HTTP"


def test_a_name_that_is_not_known_is_down(client: Callable[..., RegistryStore]) -> None:
    reference = Reference.parse("registry.invalid/owner/app:tip")
    assert _state(lambda: client().resolve(reference)) is State.DOWN


# Writing


def test_a_blob_is_sent_whole(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    layer = describe(model.OCI_LAYER, BLOB)
    assert client().put_blob(registry.repository(), layer, source(BLOB))
    assert registry.blobs[str(layer.digest)] == BLOB
    assert not client().put_blob(registry.repository(), layer, source(BLOB))
    assert len(registry.asked("PUT")) == 1


def test_a_cut_upload_is_begun_anew(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    layer = describe(model.OCI_LAYER, BLOB)
    registry.on("PUT", UPLOADS, once(Reply(hang_up=True), Reply(502)))
    assert client().put_blob(registry.repository(), layer, source(BLOB))
    assert len({request.path for request in registry.asked("PUT")}) == 3
    assert registry.blobs[str(layer.digest)] == BLOB


@pytest.mark.parametrize("trouble", [Reply(413), Reply(hang_up=True)])
def test_a_blob_that_does_not_go_through_whole_goes_in_chunks(
    registry: BadRegistry, client: Callable[..., RegistryStore], trouble: Reply
) -> None:
    large = BLOB * 4
    layer = describe(model.OCI_LAYER, large)
    registry.on("PUT", UPLOADS, lambda request: trouble if len(request.body) > 10_000_000 else None)
    assert client().put_blob(registry.repository(), layer, source(large))
    assert registry.blobs[str(layer.digest)] == large
    sizes = [len(request.body) for request in registry.asked("PATCH")]
    assert sizes == [5 * 1024 * 1024, 5 * 1024 * 1024, len(large) - 10 * 1024 * 1024]
    assert registry.asked("PATCH")[1].headers["content-range"] == f"{sizes[0]}-{2 * sizes[0] - 1}"


@pytest.mark.parametrize("trouble", [Reply(502), Reply(hang_up=True)])
def test_an_upload_that_takes_long_is_tried_again_like_any(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses, trouble: Reply
) -> None:
    layer = describe(model.OCI_LAYER, BLOB)
    registry.on("PUT", UPLOADS, once(trouble, trouble))
    assert client().put_blob(registry.repository(), layer, trickling(BLOB, pauses))
    assert registry.blobs[str(layer.digest)] == BLOB
    assert pauses.now > 300, "each try took more than what may be waited for"


def test_a_blob_that_takes_long_goes_in_chunks_when_it_does_not_go_whole(
    registry: BadRegistry, client: Callable[..., RegistryStore], pauses: Pauses
) -> None:
    large = BLOB * 4
    layer = describe(model.OCI_LAYER, large)
    registry.on("PUT", UPLOADS, lambda request: Reply(hang_up=True) if len(request.body) > 10_000_000 else None)
    registry.on("PATCH", UPLOADS, once(Reply(hang_up=True)))
    assert client().put_blob(registry.repository(), layer, trickling(large, pauses))
    assert registry.blobs[str(layer.digest)] == large
    assert len(registry.asked("PATCH")) == 4


def test_the_registry_says_how_large_chunks_are(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    large = BLOB * 4
    registry.on("PUT", UPLOADS, lambda request: Reply(413) if request.body else None)

    def post(request: Request) -> Reply:
        proper = registry.properly(request)
        return replace(proper, headers={**proper.headers, "OCI-Chunk-Min-Length": "9000000"})

    registry.on("POST", UPLOADS, post)
    assert client().put_blob(registry.repository(), describe("", large), source(large))
    assert [len(request.body) for request in registry.asked("PATCH")] == [9_000_000, 3_000_000]


def test_lost_chunks_are_noticed(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    large = BLOB * 4
    registry.on("PUT", UPLOADS, always(Reply(413)))
    registry.on("PATCH", UPLOADS, always(Reply(202, headers={"Location": "x", "Range": "0-99"})))
    with pytest.raises(RegistryError, match="loses chunks"):
        client().put_blob(registry.repository(), describe("", large), source(large))


@pytest.mark.parametrize("given", [BLOB[:-1], BLOB + b"!", BLOB[:-1] + b"!"])
def test_a_source_that_is_not_what_was_announced_is_not_kept(
    registry: BadRegistry, client: Callable[..., RegistryStore], given: bytes
) -> None:
    layer = describe(model.OCI_LAYER, BLOB)
    assert _state(lambda: client().put_blob(registry.repository(), layer, source(given))) is State.CORRUPT
    assert str(layer.digest) not in registry.blobs


def test_a_blob_is_mounted_from_where_it_is(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    bearer(registry)
    layer = describe(model.OCI_LAYER, BLOB)
    registry.keep_blob(BLOB)
    registry.on("HEAD", BLOBS, always(error(404, "BLOB_UNKNOWN")))
    registry.on("POST", UPLOADS, lambda one: Reply(201) if one.query.get("mount") else None)
    others = [Name.parse("ghcr.io/owner/other"), registry.repository("owner/other")]
    assert not client().put_blob(registry.repository(), layer, source(b"never read"), mount_from=others)
    (mount,) = registry.asked("POST")[-1:]
    assert (mount.query["mount"], mount.query["from"]) == ([str(layer.digest)], ["owner/other"])
    scopes = registry.asked("GET", "/token")[-1].query["scope"]
    assert scopes == ["repository:owner/app:pull,push", "repository:owner/other:pull"]


@pytest.mark.parametrize("answer", [error(403, "DENIED", "permission_denied: read_package"), Reply(418)])
def test_a_repository_that_we_may_not_read_is_none_to_mount_from(
    registry: BadRegistry, client: Callable[..., RegistryStore], answer: Reply
) -> None:
    layer = describe(model.OCI_LAYER, BLOB)
    registry.on("HEAD", "/v2/owner/other/blobs/.*", always(answer))
    others = [registry.repository("owner/other")]
    assert client().put_blob(registry.repository(), layer, source(BLOB), mount_from=others)
    assert registry.blobs[str(layer.digest)] == BLOB


@pytest.mark.parametrize("answer", [None, Reply(404), Reply(403)])
def test_a_mount_that_is_refused_is_an_upload(
    registry: BadRegistry, client: Callable[..., RegistryStore], answer: Reply | None
) -> None:
    layer = describe(model.OCI_LAYER, BLOB)
    registry.on("HEAD", BLOBS, once(error(404, "BLOB_UNKNOWN")))
    registry.on("HEAD", "/v2/owner/other/blobs/.*", always(Reply()))
    registry.on("POST", UPLOADS, once(answer))
    other = registry.repository("owner/other")
    assert client().put_blob(registry.repository(), layer, source(BLOB), mount_from=[other])
    assert registry.blobs[str(layer.digest)] == BLOB
    assert len(registry.asked("POST")) == (1 if answer is None else 2)


def test_an_upload_is_not_sent_where_it_should_not_go(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    registry.on("POST", UPLOADS, always(Reply(202, headers={"Location": "ftp://elsewhere/x"})))
    with pytest.raises(RegistryError, match="where we do not go"):
        client().put_blob(registry.repository(), describe("", BLOB), source(BLOB))
    assert registry.asked("PUT") == []


@pytest.mark.parametrize("answer", [Reply(201, headers={"Docker-Content-Digest": "sha256:" + "0" * 64})])
def test_a_registry_that_keeps_another_manifest_is_noticed(
    registry: BadRegistry, client: Callable[..., RegistryStore], answer: Reply
) -> None:
    registry.on("PUT", MANIFESTS, always(answer))
    assert _state(lambda: client().put_manifest(tip(registry), model.OCI_MANIFEST, b"{}")) is State.CORRUPT


def test_a_manifest_that_the_registry_got_wrong_is_put_again(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    registry.on("PUT", MANIFESTS, once(error(400, "DIGEST_INVALID", "provided digest did not match")))
    client().put_manifest(tip(registry), model.OCI_MANIFEST, b"{}")
    assert registry.manifests["owner/app", "tip"] == (model.OCI_MANIFEST, b"{}")


# fault: W4
def test_errors_say_nothing_secret(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    basic(registry)
    registry.on("*", MANIFESTS, always(error(403, "DENIED", "no\x1b[2J\nreally")))
    with pytest.raises(RegistryError) as caught:
        client(keychain=lambda _: USER).manifest(tip(registry))
    assert "(DENIED: no [2J really)" in caught.value.message
    _reveals_nothing(caught.value)


# Through a proxy


def test_the_environment_names_the_proxy(
    registry: BadRegistry, client: Callable[..., RegistryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, f"http://we:are%40us@{registry.host}")
    monkeypatch.delenv("no_proxy", raising=False)
    keep_image(registry, BLOB)
    reference = Reference.parse("registry.invalid/owner/app:tip")
    assert client(insecure=True).resolve(reference) is not None
    proof = base64.b64encode(b"we:are@us").decode()
    assert registry.asked("HEAD")[0].headers["proxy-authorization"] == f"Basic {proof}"
    monkeypatch.setenv("no_proxy", "registry.invalid")
    assert _state(lambda: client(insecure=True).resolve(reference)) is State.DOWN


def test_this_machine_is_never_behind_a_proxy(
    registry: BadRegistry, client: Callable[..., RegistryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid")
    keep_image(registry, BLOB)
    assert client().resolve(tip(registry)) is not None


def test_connections_are_used_again(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    layer = keep_image(registry, BLOB).layers[0]
    store = client()
    for _ in range(5):
        assert store.resolve(tip(registry))
        assert store.resolve(Reference(name=registry.repository(), tag=Tag.parse("absent"))) is None
        assert read(store, registry, layer) == BLOB
        assert store.put_blob(registry.repository(), describe("", b"new"), source(b"new"))
        del registry.blobs[str(describe("", b"new").digest)]
    assert len({request.client for request in registry.requests}) == 1


# Images


def test_an_image_is_copied_once(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    manifest = keep_image(registry, BLOB, b"second", b"third")
    told: list[tuple[int, int]] = []
    with running() as other:
        store = client()
        image = find_image(store, tip(registry), AMD64)
        assert image is not None
        done = copy(image, store, store, to=tip(other), progress=lambda *now: told.append(now))
        total = sum(blob.size for blob in manifest.blobs)
        assert (set(done.sent), done.skipped, done.sent_bytes) == (set(manifest.blobs), (), total)
        assert done.descriptor == image.content.descriptor
        assert told[-1] == (total, total)
        assert sorted(told) == told
        again = copy(image, store, store, to=tip(other))
        assert (again.sent, set(again.skipped)) == ((), set(manifest.blobs))
        assert find_image(store, tip(other), AMD64) == replace(image, reference=tip(other))


# fault: W12
def test_an_image_that_cannot_be_copied_whole_is_not_named(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    keep_image(registry, BLOB, b"second")
    store = client()
    image = find_image(store, tip(registry), AMD64)
    assert image is not None
    del registry.blobs[str(image.manifest.layers[1].digest)]
    with running() as other:
        assert _state(lambda: copy(image, store, store, to=tip(other))) is State.CORRUPT
        assert other.manifests == {}


def test_a_failure_ends_what_is_on_its_way(registry: BadRegistry, client: Callable[..., RegistryStore]) -> None:
    keep_image(registry, BLOB, b"second")
    store = client()
    image = find_image(store, tip(registry), AMD64)
    assert image is not None
    large, small = image.manifest.layers
    failed = threading.Event()

    class Source(RegistryStore):
        """Gives half of the large layer, and the rest once the small one has failed."""

        @contextmanager
        def open_blob(self, repository: Name, descriptor: Descriptor) -> Iterator[Readable]:
            if descriptor == small:
                failed.set()
                raise RegistryError("no", state=State.UNKNOWN)
            with super().open_blob(repository, descriptor) as blob:
                yield _Halting(blob, failed) if descriptor == large else blob

    with running() as other, Source(RegistryOptions(keychain=anonymous)) as stopping:
        with pytest.raises(RegistryError, match="no"):
            copy(image, stopping, store, to=tip(other))
        assert str(large.digest) not in other.blobs


class _Halting:
    """Gives its second piece only when told to, and then piece by piece so that it can be stopped."""

    def __init__(self, blob: Readable, told: threading.Event) -> None:
        self._blob = blob
        self._told = told
        self._pieces = 0

    def read(self, size: int = -1, /) -> bytes:
        self._pieces += 1
        if self._pieces > 1:
            assert self._told.wait(10)
        return self._blob.read(min(size, 1000))


def test_the_image_of_our_platform_is_taken_from_an_index(
    registry: BadRegistry, client: Callable[..., RegistryStore]
) -> None:
    data = keep_image(registry, BLOB).render()
    plain = describe(model.OCI_MANIFEST, data)
    ours = Descriptor(media_type=plain.media_type, digest=plain.digest, size=plain.size, platform=AMD64)
    registry.keep_manifest("owner/app", "tip", model.DOCKER_INDEX, _index(ours))
    store = client()
    image = find_image(store, tip(registry), AMD64)
    assert image is not None
    assert image.content.data == data
    assert _state(lambda: find_image(store, tip(registry), Platform(os="linux", architecture="arm64"))) is State.CORRUPT
    del registry.manifests["owner/app", str(plain.digest)]
    assert _state(lambda: find_image(store, tip(registry), AMD64)) is State.CORRUPT


def _index(*manifests: Descriptor) -> bytes:
    return Index(manifests=manifests, media_type=model.DOCKER_INDEX).render()


@pytest.mark.parametrize(
    "manifest",
    [
        b"no JSON",
        b'{"schemaVersion": 1}',
        Manifest(config=describe(model.OCI_CONFIG, b"{}"), layers=()).render(),
        Manifest(config=Descriptor(media_type="", digest=describe("", b"").digest, size=5_000_000), layers=()).render(),
        Manifest(
            config=describe("", ImageConfig(platform=AMD64, diff_ids=()).render()), layers=(describe("", BLOB),)
        ).render(),
    ],
)
# fault: W12
def test_an_image_that_cannot_be_read_is_corrupt(
    registry: BadRegistry, client: Callable[..., RegistryStore], manifest: bytes
) -> None:
    registry.keep_blob(b"{}")
    registry.keep_blob(ImageConfig(platform=AMD64, diff_ids=()).render())
    registry.keep_manifest("owner/app", "tip", model.OCI_MANIFEST, manifest)
    assert _state(lambda: find_image(client(), tip(registry), AMD64)) is State.CORRUPT


# Probing


def test_all_are_asked_for_at_once(registry: BadRegistry, options: RegistryOptions) -> None:
    keep_image(registry, BLOB)
    together = threading.Barrier(4)

    def wait(_request: Request) -> Reply | None:
        together.wait(10)
        return None

    registry.on("HEAD", MANIFESTS, wait)
    names = ["tip", "one", "two", "three"]
    references = [Reference(name=registry.repository(), tag=Tag.parse(name)) for name in names]
    found = probe(references, options)
    assert [found[one].state for one in references] == [State.PRESENT, *[State.ABSENT] * 3]
    descriptor = found[references[0]].descriptor
    assert descriptor is not None
    assert descriptor.digest.hex == hashlib.sha256(registry.manifests["owner/app", "tip"][1]).hexdigest()


def test_a_probe_ends_although_the_registry_hangs(registry: BadRegistry, options: RegistryOptions) -> None:
    released = threading.Event()

    def hang(_request: Request) -> Reply | None:
        released.wait(30)
        return None

    registry.on("HEAD", MANIFESTS, hang)
    try:
        finding = probe([tip(registry)], options, limit=0.5)[tip(registry)]
    finally:
        released.set()
    assert finding.state is State.DOWN
    assert finding.error is not None


@pytest.mark.parametrize(
    ("upload", "state"),
    [(None, State.ABSENT), (error(403, "DENIED", REQUESTED), State.HIDDEN), (Reply(503), State.HIDDEN)],
)
# fault: W3
def test_who_may_write_knows_that_it_is_absent(
    registry: BadRegistry, options: RegistryOptions, upload: Reply | None, state: State
) -> None:
    basic(registry)
    registry.on("*", MANIFESTS, always(error(403, "DENIED", REQUESTED)))
    if upload is not None:
        registry.on("POST", UPLOADS, always(upload))
    finding = probe([tip(registry)], replace(options, keychain=lambda _: USER))[tip(registry)]
    assert finding.state is state
    assert len(registry.asked("DELETE", UPLOADS)) == (1 if upload is None else 0)


def test_whether_we_may_write_is_asked_once(registry: BadRegistry, options: RegistryOptions) -> None:
    basic(registry)
    registry.on("*", "/v2/.*/manifests/.*", always(error(403, "DENIED", REQUESTED)))
    references = [Reference(name=registry.repository(), tag=Tag.parse(f"stage-{n}")) for n in range(12)]
    elsewhere = tip(registry, "owner/other")
    found = probe([*references, elsewhere], replace(options, keychain=lambda _: USER))
    assert {found[one].state for one in references} == {State.ABSENT}
    asked = [one.path for one in registry.asked("POST", "/v2/.*/uploads/") if one.authorization]
    assert sorted(asked) == [f"/v2/owner/{name}/blobs/uploads/" for name in ("app", "other")]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(CacheError("the keys are lost", hint="look under the mat"), "the keys are lost"), (KeyError("key"), "KeyError")],
)
def test_whatever_goes_wrong_in_a_probe_is_a_finding(
    registry: BadRegistry, options: RegistryOptions, trouble: Exception, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def find(_name: Name) -> Credential | None:
        raise trouble

    basic(registry)
    finding = probe([tip(registry)], replace(options, keychain=find))[tip(registry)]
    assert finding.state is State.UNKNOWN
    assert finding.error is not None
    assert words in finding.error.message
    assert str(tip(registry)) in finding.error.message
    assert finding.error.hint == getattr(trouble, "hint", None)
    assert capfd.readouterr().err == ""


def test_nobody_does_not_try_to_write(registry: BadRegistry, options: RegistryOptions) -> None:
    registry.on("*", MANIFESTS, always(error(403, "DENIED", REQUESTED)))
    assert probe([tip(registry)], options)[tip(registry)].state is State.HIDDEN
    assert registry.asked("POST") == []


def test_nothing_to_probe_is_nothing_found(options: RegistryOptions) -> None:
    assert probe([], options) == {}


def read(store: RegistryStore, registry: BadRegistry, descriptor: Descriptor) -> bytes:
    with store.open_blob(registry.repository(), descriptor) as blob:
        return blob.read()


def _state(work: Callable[[], Any]) -> State:
    with pytest.raises(RegistryError) as caught:
        work()
    return State(caught.value.state)


def _reveals_nothing(caught: BaseException) -> None:
    shown = "".join(traceback.format_exception(caught))
    assert "secret-password" not in shown
    assert LOGGED_IN not in shown
