"""A registry that misbehaves: each fault ends in a retry, an older stage or a clear error, never in half a stage."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State
from support import bad_registry, engines
from support.bad_registry import BadRegistry, Reply, Request, always, error, once
from support.sites import KINDS, MORE, SCHEMA, Site, open_directory, site

_SEEDS = (SCHEMA, ("rows", "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 1000) n"), MORE)

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Origin:
    """A chain of three seeds, and what a registry keeps of it once it was pushed."""

    site: Site
    path: str
    blobs: dict[str, bytes]
    manifests: dict[tuple[str, str], tuple[str, bytes]]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    with site("embedded", open_directory(tmp_path_factory.mktemp("origin")), _SEEDS) as made:
        with bad_registry.running() as registry:
            builder = made.at(f"{registry.host}/owner")
            builder.populate()
            builder.push()
            path = str(builder.tip.name.path)
        yield Origin(builder, path, registry.blobs, registry.manifests)


@pytest.fixture
def registry(origin: Origin) -> Iterator[BadRegistry]:
    """It has all of it."""
    with bad_registry.running() as running:
        running.blobs.update(origin.blobs)
        running.manifests.update(origin.manifests)
        yield running


@pytest.fixture
def empty() -> Iterator[BadRegistry]:
    with bad_registry.running() as running:
        yield running


@pytest.fixture
def fresh(origin: Origin, registry: BadRegistry, tmp_path: Path) -> Iterator[Site]:
    """A machine that has built nothing; afterwards there is no part of a stage, and no stage that is not whole."""
    made = replace(origin.site, directory=open_directory(tmp_path / "fresh"), events=[]).at(f"{registry.host}/owner")
    yield made
    assert made.leftovers() == []
    for position in made.present():
        assert_same(origin.site, made, position)


def data(site: Site, position: int) -> Path:
    backend = site.backend
    assert isinstance(backend, EmbeddedBackend)
    return backend.images.open(site.cache.chain.keys[position])[0]


def assert_same(one: Site, other: Site, position: int) -> None:
    """Stages that are equal to the last byte."""
    done = subprocess.run(
        ["diff", "-r", str(data(one, position)), str(data(other, position))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@dataclass(frozen=True)
class Image:
    """What the origin's registry keeps under one stage's tag."""

    origin: Origin
    position: int

    @property
    def key(self) -> str:
        return str(self.origin.site.cache.chain.keys[self.position])

    @property
    def manifest(self) -> dict[str, object]:
        return dict(json.loads(self.origin.manifests[self.origin.path, self.key][1]))

    @property
    def layers(self) -> list[str]:
        layers = self.manifest["layers"]
        assert isinstance(layers, list)
        return [layer["digest"] for layer in layers]

    @property
    def config(self) -> str:
        config = self.manifest["config"]
        assert isinstance(config, dict)
        return str(config["digest"])


def blob(digest: str) -> str:
    return f".*/blobs/{digest}"


def manifest_of(image: Image) -> str:
    return f".*/manifests/{image.key}"


TIP, BELOW = 3, 2

#: Breaks a registry; the newest stage is its last layer.
Break = Callable[[BadRegistry, Image], None]


def cut_once(registry: BadRegistry, tip: Image) -> None:
    whole = registry.blobs[tip.layers[0]]
    registry.on("GET", blob(tip.layers[0]), once(Reply(body=whole, cut=len(whole) // 2)))


def cut_again_and_again(registry: BadRegistry, tip: Image) -> None:
    """A third of what is left each time: it goes on, so we go on."""

    def cut(request: Request) -> Reply | None:
        reply = registry.properly(request)
        return replace(reply, cut=len(reply.body) // 3) if len(reply.body) > 50_000 else None

    registry.on("GET", blob(tip.layers[0]), cut)


def hung_up_once(registry: BadRegistry, tip: Image) -> None:
    for path in (manifest_of(tip), blob(tip.config), blob(tip.layers[-1])):
        registry.on("GET", path, once(Reply(hang_up=True)))


def busy_for_a_while(registry: BadRegistry, tip: Image) -> None:
    registry.on("*", "/v2/.*", once(*[error(429, "TOOMANYREQUESTS", "slow down", Retry_After="0")] * 2))
    registry.on("GET", blob(tip.layers[-1]), once(error(429, "", "slow down", Retry_After="0")))


def ill_for_a_while(registry: BadRegistry, tip: Image) -> None:
    registry.on("HEAD", manifest_of(tip), once(error(500), error(503)))
    registry.on("GET", manifest_of(tip), once(error(502)))
    registry.on("GET", blob(tip.layers[-1]), once(error(500), error(504)))


def who_are_you(registry: BadRegistry, tip: Image) -> None:
    """Tokens for everybody."""
    challenge = f'Bearer realm="http://{registry.host}/token",service="here",scope="repository:x:pull"'

    def asked(request: Request) -> Reply | None:
        if request.path == "/token":
            return Reply(body=b'{"token": "a-token"}')
        if request.authorization == "Bearer a-token":
            return None
        return error(401, "UNAUTHORIZED", "who are you?", WWW_Authenticate=challenge)

    registry.on("*", ".*", asked)


@pytest.mark.parametrize(
    "fault",
    [cut_once, cut_again_and_again, hung_up_once, busy_for_a_while, ill_for_a_while, who_are_you],
    ids=lambda one: one.__name__,
)
def test_what_is_passing_is_tried_again(fault: Break, origin: Origin, registry: BadRegistry, fresh: Site) -> None:
    fault(registry, Image(origin, TIP))
    assert fresh.pull().pulled == fresh.tip
    assert fresh.present() == [TIP]
    assert fresh.warnings() == []


def test_what_was_pulled_in_pieces_boots(origin: Origin, registry: BadRegistry, fresh: Site) -> None:
    cut_once(registry, Image(origin, TIP))
    fresh.pull()
    assert fresh.rows() == (1100, 1100)
    assert fresh.applied() == []
    ranges = [one.headers.get("range") for one in registry.asked("GET", blob(Image(origin, TIP).layers[0]))]
    assert ranges[0] is None
    assert ranges[1] is not None, "it went on where it was cut"


def another_digest(registry: BadRegistry, tip: Image) -> None:
    """As many bytes, and others: a good layer of something else."""
    whole = registry.blobs[tip.layers[-1]]
    registry.blobs[tip.layers[-1]] = bytes(len(whole) - 1) + whole[-1:]


def flipped_bit(registry: BadRegistry, tip: Image) -> None:
    whole = bytearray(registry.blobs[tip.layers[-1]])
    whole[len(whole) // 2] ^= 1
    registry.blobs[tip.layers[-1]] = bytes(whole)


def truncated(registry: BadRegistry, tip: Image) -> None:
    """The registry itself takes half of it for the whole."""
    whole = registry.blobs[tip.layers[-1]]
    registry.blobs[tip.layers[-1]] = whole[: len(whole) // 2]


def longer(registry: BadRegistry, tip: Image) -> None:
    registry.blobs[tip.layers[-1]] += gzip.compress(b"more")


def lost_layer(registry: BadRegistry, tip: Image) -> None:
    del registry.blobs[tip.layers[-1]]


def lost_config(registry: BadRegistry, tip: Image) -> None:
    del registry.blobs[tip.config]


def wrong_config(registry: BadRegistry, tip: Image) -> None:
    registry.blobs[tip.config] = b"{}"


def no_manifest(registry: BadRegistry, tip: Image) -> None:
    registry.keep_manifest(
        tip.origin.path, tip.key, "application/vnd.oci.image.manifest.v1+json", b"<html>hello</html>"
    )


def wrong_manifest_digest(registry: BadRegistry, tip: Image) -> None:
    media_type, body = registry.manifests[tip.origin.path, tip.key]
    headers = {"Content-Type": media_type, "Docker-Content-Digest": f"sha256:{'0' * 64}"}
    registry.on("*", manifest_of(tip), always(Reply(body=body, headers=headers)))


def configured(registry: BadRegistry, tip: Image, **changes: object) -> None:
    """The same layers with another configuration."""
    config = json.dumps({**json.loads(registry.blobs[tip.config]), **changes}).encode()
    described = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": registry.keep_blob(config),
        "size": len(config),
    }
    manifest = json.dumps({**tip.manifest, "config": described}).encode()
    registry.keep_manifest(tip.origin.path, tip.key, _MANIFEST, manifest)


def other_platform(registry: BadRegistry, tip: Image) -> None:
    configured(registry, tip, architecture="s390x")


def other_platform_in_the_label(registry: BadRegistry, tip: Image) -> None:
    known = json.loads(registry.blobs[tip.config])["config"]["Labels"]
    configured(registry, tip, config={"Labels": {**known, "pg-ephemeral.platform": "linux/s390x"}})


def wrong_key(registry: BadRegistry, tip: Image) -> None:
    below = Image(tip.origin, BELOW)
    registry.manifests[tip.origin.path, tip.key] = registry.manifests[tip.origin.path, below.key]


def wrong_key_in_the_label(registry: BadRegistry, tip: Image) -> None:
    """All of the tip but what it says of itself."""
    known = json.loads(registry.blobs[tip.config])["config"]["Labels"]
    configured(registry, tip, config={"Labels": {**known, "pg-ephemeral.key": Image(tip.origin, BELOW).key}})


# fault: W12
@pytest.mark.parametrize(
    "fault",
    [
        another_digest,
        flipped_bit,
        truncated,
        longer,
        lost_layer,
        lost_config,
        wrong_config,
        no_manifest,
        wrong_manifest_digest,
        other_platform,
        other_platform_in_the_label,
        wrong_key,
        wrong_key_in_the_label,
    ],
    ids=lambda one: one.__name__,
)
def test_what_is_damaged_is_passed_over_for_an_older_stage(
    fault: Break, origin: Origin, registry: BadRegistry, fresh: Site
) -> None:
    fault(registry, Image(origin, TIP))
    report = fresh.pull()
    assert report.pulled == fresh.references()[BELOW]
    assert [one.state for one in report.looked] == [State.CORRUPT, State.PRESENT]
    [warning] = fresh.warnings()
    assert "; an older stage will do (" in warning
    assert str(fresh.tip.name) in warning
    assert fresh.present() == [BELOW]


def test_the_stage_above_a_damaged_one_is_built_again(origin: Origin, registry: BadRegistry, fresh: Site) -> None:
    flipped_bit(registry, Image(origin, TIP))
    fresh.pull()
    assert fresh.rows() == (1100, 1100)
    assert fresh.applied() == ["more"]
    fresh.reset()


def test_when_all_stages_share_the_damage_nothing_is_found(origin: Origin, registry: BadRegistry, fresh: Site) -> None:
    lowest = Image(origin, TIP).layers[0]
    registry.blobs[lowest] = registry.blobs[lowest][:-1]
    report = fresh.pull()
    assert report.pulled is None
    assert [one.state for one in report.looked] == [State.CORRUPT] * 4
    assert len(fresh.warnings()) == 4
    assert fresh.present() == []


def never_answers_a_layer(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.layers[-1]), always(Reply(hang_up=True)))


def ill_for_good(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.layers[-1]), always(error(500, "UNKNOWN", "it hurts")))


def too_busy_for_today(registry: BadRegistry, tip: Image) -> None:
    registry.on("*", ".*", always(error(429, "TOOMANYREQUESTS", "come back tomorrow", Retry_After="86400")))


def too_busy_for_layers(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.layers[-1]), always(error(429, "", "come back tomorrow", Retry_After="86400")))


def members_only(registry: BadRegistry, tip: Image) -> None:
    challenge = 'Basic realm="members only"'
    registry.on("*", ".*", always(error(401, "UNAUTHORIZED", "members only", WWW_Authenticate=challenge)))


def not_for_you(registry: BadRegistry, tip: Image) -> None:
    """Seen, and then refused: no absence."""
    registry.on("GET", blob(tip.layers[-1]), always(error(403, "DENIED", "permission_denied: read_package")))


# fault: W4
@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (never_answers_a_layer, State.DOWN),
        (ill_for_good, State.DOWN),
        (too_busy_for_today, State.RATE_LIMITED),
        (too_busy_for_layers, State.RATE_LIMITED),
        (members_only, State.NOT_LOGGED_IN),
        (not_for_you, State.DENIED),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_what_does_not_pass_is_a_clear_error(
    fault: Break, state: State, origin: Origin, registry: BadRegistry, fresh: Site
) -> None:
    fault(registry, Image(origin, TIP))
    with pytest.raises(RegistryError) as caught:
        fresh.pull()
    assert caught.value.state == state, caught.value.message
    assert registry.host in caught.value.message
    if state is State.RATE_LIMITED:
        assert caught.value.retry_after == 86400
    assert fresh.present() == []


def test_a_stage_that_is_here_is_not_touched_by_a_pull_that_fails(
    origin: Origin, registry: BadRegistry, fresh: Site
) -> None:
    registry.on("HEAD", manifest_of(Image(origin, TIP)), once(error(404)))
    fresh.pull()
    assert fresh.present() == [BELOW]
    never_answers_a_layer(registry, Image(origin, TIP))
    with pytest.raises(RegistryError):
        fresh.pull()
    assert fresh.present() == [BELOW]


def assert_all_there(origin: Origin, registry: BadRegistry) -> None:
    assert registry.blobs == origin.blobs
    assert registry.manifests == origin.manifests


@pytest.mark.parametrize(
    ("method", "path", "replies"),
    [
        ("POST", ".*/blobs/uploads/", [error(500), error(429, "TOOMANYREQUESTS", "", Retry_After="0")]),
        ("P.*", ".*/blobs/uploads/.+", [Reply(hang_up=True), error(502)]),
        ("P.*", ".*/blobs/uploads/.+", [error(404, "BLOB_UPLOAD_UNKNOWN", "what upload?")]),
        ("PUT", ".*/manifests/.*", [error(500), Reply(hang_up=True)]),
        ("HEAD", ".*", [error(503), Reply(hang_up=True)]),
    ],
    ids=["no upload", "cut", "forgotten", "manifest", "questions"],
)
def test_a_push_is_tried_again(
    method: str, path: str, replies: list[Reply], origin: Origin, empty: BadRegistry
) -> None:
    script = once(*replies)
    for one in ("POST", "PATCH", "PUT") if method == "P.*" else (method,):
        empty.on(one, path, script)
    pushing = origin.site.at(f"{empty.host}/owner")
    assert [stage.status for stage in pushing.push().stages] == ["pushed"] * 4
    assert_all_there(origin, empty)
    assert pushing.leftovers() == []


@pytest.mark.parametrize(
    ("method", "path", "reply", "state"),
    [
        # We are nobody there, so that a login may help.
        ("POST", ".*/blobs/uploads/", error(403, "DENIED", "requested access is denied"), State.NOT_LOGGED_IN),
        ("PUT", ".*/blobs/uploads/.+", error(500), State.DOWN),
        ("PUT", ".*/manifests/.*", error(400, "MANIFEST_INVALID", "not today"), State.UNKNOWN),
        (
            "PUT",
            ".*/manifests/.*",
            Reply(201, headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"}),
            State.CORRUPT,
        ),
    ],
    ids=["denied", "ill", "refused", "something else kept"],
)
def test_a_push_that_fails_names_the_stage_and_the_next_goes_on(
    method: str, path: str, reply: Reply, state: State, origin: Origin, empty: BadRegistry
) -> None:
    """The registry has had enough when the second stage comes."""
    trouble = [False]
    empty.on(method, path, lambda _request: reply if trouble[0] else None)
    second = Image(origin, 1)
    # Its layer is the first thing that is asked of the second stage.
    empty.on("HEAD", blob(second.layers[-1]), lambda _request: trouble.__setitem__(0, True))
    pushing = origin.site.at(f"{empty.host}/owner")
    with pytest.raises(RegistryError) as caught:
        pushing.push()
    assert caught.value.state == state, caught.value.message
    assert caught.value.message.startswith("stage 'schema' was not pushed: ")
    assert (origin.path, Image(origin, 0).key) in empty.manifests
    assert (origin.path, Image(origin, TIP).key) not in empty.manifests
    assert pushing.leftovers() == []

    empty._scripts.clear()
    report = origin.site.at(f"{empty.host}/owner").push()
    assert [stage.status for stage in report.stages] == ["present", "pushed", "pushed", "pushed"]
    assert_all_there(origin, empty)


# fault: W4
def test_sync_builds_what_a_misbehaving_registry_does_not_give(
    origin: Origin, registry: BadRegistry, fresh: Site
) -> None:
    never_answers_a_layer(registry, Image(origin, 0))
    report = fresh.sync()
    assert report.pulled is None
    assert len(report.warnings) == 1
    assert fresh.applied() == ["schema", "rows", "more"]
    assert fresh.rows() == (1100, 1100)
    assert_all_there(origin, registry)
    fresh.reset()


@pytest.fixture(params=KINDS[1:])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with site(request.param, open_directory(tmp_path / "engine"), _SEEDS) as made:
        yield made


def pulled_by(engine: Site, reference: Reference) -> bool:
    """By the engine itself, to which a stage of the embedded backend is an image like any."""
    with engine.backend.exchange() as exchange:
        return exchange.pull(reference, progress=lambda _done, _total: None)


# fault: W4
def test_an_engine_is_made_to_try_again(engine: Site, origin: Origin, registry: BadRegistry) -> None:
    reference = origin.site.at(f"{registry.host}/owner").tip
    ill, busy = error(503, "UNAVAILABLE", "not now"), error(429, "TOOMANYREQUESTS", "slow down")
    registry.on("*", manifest_of(Image(origin, TIP)), once(ill, busy))
    try:
        assert pulled_by(engine, reference)
    finally:
        engines.remove_images(engine.kind, origin.site.definition.instance)


# fault: W12
@pytest.mark.parametrize("fault", [flipped_bit, truncated, lost_layer], ids=lambda one: one.__name__)
def test_what_an_engine_finds_damaged_is_called_so(
    fault: Break, engine: Site, origin: Origin, registry: BadRegistry
) -> None:
    fault(registry, Image(origin, TIP))
    reference = origin.site.at(f"{registry.host}/owner").tip
    with pytest.raises(RegistryError) as caught:
        pulled_by(engine, reference)
    assert caught.value.state == State.CORRUPT, caught.value.message
    assert engines.images(engine.kind, origin.site.definition.instance) == []


def ill_layers(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.layers[-1]), always(error(503, "UNAVAILABLE", "not now")))


def ill_config(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.config), always(error(500, "UNKNOWN", "it hurts")))


def hidden_layers(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.layers[-1]), always(error(403, "DENIED", "requested access to the resource is denied")))


def forbidden_layers(registry: BadRegistry, tip: Image) -> None:
    """As storage behind a registry says it."""
    registry.on("GET", blob(tip.layers[-1]), always(Reply(403, b"<Error><Code>AccessDenied</Code></Error>")))


def busy_layers(registry: BadRegistry, tip: Image) -> None:
    registry.on("GET", blob(tip.layers[-1]), always(error(429, "TOOMANYREQUESTS", "slow down")))


def wanting_who(registry: BadRegistry, tip: Image) -> None:
    challenge = 'Basic realm="members only"'
    refusal = error(401, "UNAUTHORIZED", "members only", WWW_Authenticate=challenge)
    registry.on("GET", blob(tip.layers[-1]), always(refusal))


# fault: W4
@pytest.mark.parametrize(
    ("fault", "states"),
    [
        (ill_layers, {State.DOWN}),
        (ill_config, {State.DOWN}),
        (hidden_layers, {State.DENIED, State.HIDDEN}),
        (forbidden_layers, {State.DENIED, State.HIDDEN}),
        (busy_layers, {State.RATE_LIMITED}),
        # Podman takes it for wrong credentials.
        (wanting_who, {State.NOT_LOGGED_IN, State.BAD_CREDENTIALS}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_trouble_with_a_part_of_an_image_is_neither_damage_nor_absence(
    fault: Break, states: set[State], engine: Site, origin: Origin, registry: BadRegistry
) -> None:
    insisting = {"docker": (ill_layers, ill_config, hidden_layers), "podman": (busy_layers,)}
    if fault in insisting[engine.kind]:
        pytest.skip(f"{engine.kind} itself insists on it for longer than a minute")
    fault(registry, Image(origin, TIP))
    reference = origin.site.at(f"{registry.host}/owner").tip
    with pytest.raises(RegistryError) as caught:
        pulled_by(engine, reference)
    assert caught.value.state in states, caught.value.message
    assert engines.images(engine.kind, origin.site.definition.instance) == []


def other_platforms(registry: BadRegistry, tip: Image) -> None:
    """An index without ours."""
    manifest = registry.manifests[tip.origin.path, tip.key][1]
    described = {
        "mediaType": _MANIFEST,
        "digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
        "size": len(manifest),
    }
    there = {**described, "platform": {"os": "linux", "architecture": "s390x"}}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [there]}
    registry.keep_manifest(tip.origin.path, tip.key, _INDEX, json.dumps(index).encode())


def hollow_index(registry: BadRegistry, tip: Image) -> None:
    """The image it names is gone."""
    platform = {"os": "linux", "architecture": json.loads(registry.blobs[tip.config])["architecture"]}
    there = {"mediaType": _MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 500, "platform": platform}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [there]}
    registry.keep_manifest(tip.origin.path, tip.key, _INDEX, json.dumps(index).encode())


@pytest.mark.parametrize("fault", [other_platforms, hollow_index], ids=lambda one: one.__name__)
def test_an_index_that_is_of_no_use_is_passed_over(
    fault: Break, origin: Origin, registry: BadRegistry, fresh: Site
) -> None:
    fault(registry, Image(origin, TIP))
    report = fresh.pull()
    assert [one.state for one in report.looked] == [State.CORRUPT, State.PRESENT]
    assert len(fresh.warnings()) == 1


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("fault", [other_platforms, hollow_index], ids=lambda one: one.__name__)
def test_an_index_that_is_of_no_use_to_an_engine_is_passed_over(
    fault: Break, kind: str, origin: Origin, registry: BadRegistry, tmp_path: Path
) -> None:
    """Its own stages are others; what is under the tag is what counts here."""
    with site(kind, open_directory(tmp_path / "engine"), (SCHEMA,)) as made:
        fresh = made.at(f"{registry.host}/owner")
        tip = Image(origin, TIP)
        fault(registry, tip)
        path, key = str(fresh.tip.name.path), str(fresh.tip.tag)
        registry.manifests[path, key] = registry.manifests[origin.path, tip.key]
        for name, kept in list(registry.manifests.items()):
            registry.manifests[path, name[1]] = kept
        report = fresh.pull()
        assert [one.state for one in report.looked] == [State.CORRUPT, State.ABSENT]
        [warning] = fresh.warnings()
        assert str(fresh.tip) in warning
        assert fresh.present() == []
