"""Pull, push and sync, decided over a backend and a registry in memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pg_ephemeral import sharing
from pg_ephemeral.cache import Cache, open_cache, reset
from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import DefinitionError, RegistryError, SeedFailed, StageGone
from pg_ephemeral.lifecycle import boot
from pg_ephemeral.lock import exclusive
from pg_ephemeral.oci.reference import Name, Reference, Registry
from pg_ephemeral.oci.state import State
from pg_ephemeral.populate import populate_only
from pg_ephemeral.progress import (
    Event,
    Finished,
    Note,
    SeedStarted,
    TransferFinished,
    Transferring,
    TransferStarted,
    Waiting,
)
from pg_ephemeral.repository import RepositoryTemplate
from support.memory import MemoryBackend, MemoryRegistry
from support.seeds import WordSeed, words

FAR = "ghcr.io/owner/project"
NEAR = "localhost:5000"


@dataclass
class Site:
    """A machine with a store of its own; several share ``registry``."""

    directory: Path
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    text: str = "a b c"
    host: str | None = FAR
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.backend = MemoryBackend(self.directory)
        self.backend.registry = self.registry
        self.events: list[Event] = []

    @property
    def definition(self) -> Definition:
        host = None if self.host is None else Registry.parse(self.host)
        seeds = self.options.get("seeds", words(self.text))
        others = {name: value for name, value in self.options.items() if name != "seeds"}
        return Definition(seeds=seeds, directory=Path("/"), cache_registry=host, **others)

    @property
    def cache(self) -> Cache:
        return open_cache(self.definition, self.backend)

    def reference(self, position: int) -> Reference:
        """Stage 0 is the empty cluster."""
        cache = self.cache
        return cache.reference(cache.chain.keys[position])

    def populate(self) -> None:
        populate_only(self.cache)

    def pull(self) -> sharing.PullReport:
        return sharing.pull(self.cache, progress=self.events.append)

    def push(self, **options: bool) -> sharing.PushReport:
        return sharing.push(self.cache, progress=self.events.append, **options)

    def sync(self, **options: bool) -> sharing.SyncReport:
        return sharing.sync(self.cache, progress=self.events.append, **options)

    def notes(self, *, warning: bool) -> list[str]:
        return [one.text for one in self.events if isinstance(one, Note) and one.warning is warning]

    def forget(self, positions: Iterable[int]) -> None:
        for position in positions:
            assert self.backend.images.remove(self.reference(position), force=True)


@pytest.fixture
def builder(tmp_path: Path) -> Site:
    """It has built every stage, and pushed nothing."""
    site = Site(tmp_path / "builder")
    site.populate()
    return site


@pytest.fixture
def fresh(tmp_path: Path, builder: Site) -> Site:
    """It has nothing, and the builder's registry."""
    return Site(tmp_path / "fresh", registry=builder.registry)


def trouble(state: State = State.DOWN) -> RegistryError:
    return RegistryError(f"the registry is {state}", state=state, hint="a hint", retry_after=3.0)


# fault: W1
# acceptance: 104, 105
def test_the_newest_stage_is_pulled_and_nothing_is_built_or_pulled_before_it(builder: Site, fresh: Site) -> None:
    builder.push()
    builder.registry.log.clear()
    report = fresh.pull()
    assert fresh.registry.log == ["probe 4", f"pull {fresh.reference(3).tag}"]
    assert (report.pulled, report.present) == (fresh.reference(3), None)
    events: list[Event] = []
    with boot(fresh.definition, backend=fresh.backend, progress=events.append):
        assert fresh.backend.handles[-1].words == ["a", "b", "c"]
    assert fresh.backend.commits == 0, "neither an earlier stage nor the empty cluster is made"
    assert not any(isinstance(event, SeedStarted) for event in events)
    assert [(one.built, one.reused) for one in events if isinstance(one, Finished)] == [(0, 3)]


def test_what_is_older_than_the_newest_here_is_not_asked_for(builder: Site, fresh: Site) -> None:
    builder.push()
    builder.registry.stages.pop(builder.reference(3))
    fresh.pull()
    builder.registry.log.clear()
    report = fresh.pull()
    assert builder.registry.log == ["probe 1"]
    assert (report.present, report.pulled) == (fresh.reference(2), None)
    assert [(one.name, one.state) for one in report.looked] == [("c", State.ABSENT)]


def test_with_the_tip_here_the_registry_is_asked_nothing(builder: Site) -> None:
    builder.push()
    builder.registry.log.clear()
    report = builder.pull()
    assert builder.registry.log == ["probe 0"]
    assert (report.present, report.pulled, report.looked) == (builder.reference(3), None, ())


@pytest.mark.parametrize("newest", [2, 1, 0])
def test_the_walk_goes_back_to_the_newest_that_is_there(builder: Site, fresh: Site, newest: int) -> None:
    builder.push()
    for position in range(newest + 1, 4):
        builder.registry.stages.pop(builder.reference(position))
    report = fresh.pull()
    assert report.pulled == fresh.reference(newest)
    assert [one.state for one in report.looked] == [State.ABSENT] * (3 - newest) + [State.PRESENT]
    assert [one.name for one in report.looked] == ["c", "b", "a", "the empty cluster"][: 4 - newest]


def test_a_damaged_stage_is_passed_over_for_an_older_one_with_a_warning(builder: Site, fresh: Site) -> None:
    builder.push()
    builder.registry.damaged = {builder.cache.chain.keys[3], builder.cache.chain.keys[2]}
    report = fresh.pull()
    assert report.pulled == fresh.reference(1)
    assert [one.state for one in report.looked] == [State.CORRUPT, State.CORRUPT, State.PRESENT]
    assert fresh.notes(warning=True) == [
        f"{fresh.reference(3)}: damaged; an older stage will do (a hint)",
        f"{fresh.reference(2)}: damaged; an older stage will do (a hint)",
    ]
    assert fresh.cache.present() == {fresh.cache.chain.keys[1]}


# fault: W3
# acceptance: 106
@pytest.mark.parametrize("state", [State.ABSENT, State.HIDDEN])
def test_to_find_nothing_is_no_failure(fresh: Site, state: State) -> None:
    fresh.registry.trouble = trouble(state)
    report = fresh.pull()
    assert (report.present, report.pulled) == (None, None)
    assert [one.state for one in report.looked] == [state] * 4
    assert fresh.registry.log == ["probe 4"]


# fault: W3
def test_what_the_registry_does_not_show_is_a_miss_with_one_warning(builder: Site, fresh: Site) -> None:
    fresh.registry.trouble = trouble(State.HIDDEN)
    assert fresh.pull().pulled is None
    assert fresh.notes(warning=True) == ["the registry is hidden; it counts as absent (a hint)"]
    with pytest.raises(RegistryError) as caught:
        fresh.sync(strict=True)
    assert caught.value.state == State.HIDDEN
    assert fresh.cache.present() == frozenset()
    assert fresh.sync().pulled is not None, "it is no trouble without strict"


def test_what_was_there_and_is_not_to_be_pulled_was_deleted_or_is_damaged(builder: Site, fresh: Site) -> None:
    """Its tag tells: it is asked for again."""
    builder.push()
    keys = builder.cache.chain.keys
    builder.registry.hollow = {keys[3]}
    report = fresh.pull()
    assert report.pulled == fresh.reference(2)
    assert [one.state for one in report.looked] == [State.CORRUPT, State.PRESENT]
    [warning] = fresh.notes(warning=True)
    assert "its tag is there, and what it names is gone; an older stage will do (push it again with --force" in warning
    assert [one.name for one in fresh.events if isinstance(one, TransferFinished)] == ["b"], "the tip never arrived"


def test_what_is_deleted_while_we_pull_is_absent(builder: Site, fresh: Site) -> None:
    builder.push()
    key = builder.cache.chain.keys[3]

    def delete(line: str) -> None:
        if line == f"pull {key}":
            builder.registry.stages.pop(builder.reference(3), None)

    builder.registry.watch = delete
    report = fresh.pull()
    assert [one.state for one in report.looked] == [State.ABSENT, State.PRESENT]
    assert fresh.notes(warning=True) == []


def test_what_is_seen_and_then_refused_is_denied(builder: Site, fresh: Site) -> None:
    builder.push()
    builder.registry.unreadable = {builder.cache.chain.keys[3]: trouble(State.HIDDEN)}
    with pytest.raises(RegistryError) as caught:
        fresh.pull()
    assert (caught.value.state, caught.value.hint) == (State.DENIED, "a hint")
    assert fresh.cache.present() == frozenset()


@pytest.mark.parametrize("state", [State.DOWN, State.TLS, State.UNKNOWN])
def test_an_engine_with_a_way_of_its_own_is_let_try(builder: Site, fresh: Site, state: State) -> None:
    """From the tip backwards, and forwards for a push; its own answers count."""
    builder.push()
    builder.registry.stages.pop(builder.reference(3))
    fresh.registry.trouble, fresh.registry.other_way = trouble(state), True
    report = fresh.pull()
    assert report.pulled == fresh.reference(2)
    assert [one.state for one in report.looked] == [State.ABSENT, State.PRESENT]
    fresh.populate()
    fresh.registry.log.clear()
    assert [stage.status for stage in fresh.push().stages] == ["pushed"] * 2
    assert fresh.registry.log == ["probe 2", f"push {fresh.reference(2).tag}", f"push {fresh.reference(3).tag}"]


def test_an_engine_that_does_not_get_there_either_is_not_asked_for_older_stages(builder: Site, fresh: Site) -> None:
    builder.push()
    fresh.registry.trouble, fresh.registry.other_way = trouble(), True
    fresh.registry.unreadable = {key: trouble() for key in fresh.cache.chain.keys}
    with pytest.raises(RegistryError) as caught:
        fresh.pull()
    assert caught.value.state == State.DOWN
    assert len([line for line in fresh.registry.log if line.startswith("pull ")]) == 1


def test_an_engine_that_is_shown_nothing_either_warns_once(builder: Site, fresh: Site) -> None:
    fresh.registry.trouble, fresh.registry.other_way = trouble(), True
    fresh.registry.unreadable = {key: trouble(State.HIDDEN) for key in fresh.cache.chain.keys}
    report = fresh.pull()
    assert [one.state for one in report.looked] == [State.HIDDEN] * 4
    assert len(fresh.notes(warning=True)) == 1


# acceptance: 107, 108
@pytest.mark.parametrize(
    "state",
    [
        State.DENIED,
        State.NOT_LOGGED_IN,
        State.BAD_CREDENTIALS,
        State.RATE_LIMITED,
        State.DOWN,
        State.TLS,
        State.UNKNOWN,
    ],
)
def test_trouble_is_raised_as_it_was_found(fresh: Site, state: State) -> None:
    fresh.registry.trouble = trouble(state)
    with pytest.raises(RegistryError) as caught:
        fresh.pull()
    assert (caught.value.state, caught.value.hint) == (state, "a hint")
    assert fresh.registry.log == ["probe 4"], "no image is pulled on the chance"


# fault: W9
def test_a_stage_that_is_here_is_known_by_the_registrys_name_as_well(tmp_path: Path) -> None:
    site = Site(tmp_path, host=None)
    site.populate()
    for host in (FAR, NEAR, "ghcr.io"):
        site.host = host
        report = site.pull()
        assert report.present == site.reference(3)
        assert site.reference(3) in [image.reference for image in site.backend.images.list(site.cache.repository)]
        assert report.looked == ()


def test_another_process_may_make_it_first(builder: Site, fresh: Site) -> None:
    """It appears while we wait for it: it is not pulled again, and named as ours."""
    builder.push()
    key = fresh.cache.chain.keys[3]
    store = fresh.backend.images
    other = ExitStack()

    def watch(event: Event) -> None:
        if isinstance(event, Waiting):
            store.stages[key] = builder.backend.images.stages[key]
            store.names.add((Name.parse("pg-ephemeral/other"), key))
            other.close()

    other.enter_context(exclusive(fresh.backend.lock_file(key)))
    report = sharing.pull(fresh.cache, progress=watch)
    assert report.pulled == fresh.reference(3)
    assert f"pull {key}" not in fresh.registry.log
    assert [image.reference for image in store.list(fresh.cache.repository)] == [fresh.reference(3)]


def test_uncacheable_seeds_end_what_is_shared(tmp_path: Path) -> None:
    site = Site(tmp_path / "one", text="a b! c")
    site.populate()
    assert [stage.name for stage in site.push().stages] == ["the empty cluster", "a"]
    other = Site(tmp_path / "two", registry=site.registry, text="a b! c")
    assert other.pull().to_json()["complete"] is True


# fault: W10
# acceptance: 109
def test_stages_are_pushed_oldest_first(builder: Site) -> None:
    report = builder.push()
    tags = [str(builder.reference(position).tag) for position in range(4)]
    pushes = [line for line in builder.registry.log if line.startswith("push ")]
    assert pushes == [f"push {tag}" for tag in tags]
    assert [stage.status for stage in report.stages] == ["pushed"] * 4
    assert [stage.sent for stage in report.stages] == [0, 1, 2, 3]


# fault: W2
# fault: W10
def test_what_the_registry_has_is_left_alone_unless_forced(builder: Site, fresh: Site) -> None:
    builder.push()
    before = dict(builder.registry.stages)
    fresh.populate()
    builder.registry.log.clear()
    report = fresh.push()
    assert builder.registry.log == ["probe 4"]
    assert [stage.status for stage in report.stages] == ["present"] * 4
    assert builder.registry.stages == before
    assert all(builder.registry.stages[one] is before[one] for one in before)

    report = fresh.push(force=True)
    assert [stage.status for stage in report.stages] == ["pushed"] * 4
    assert all(builder.registry.stages[one] is not before[one] for one in before)


# fault: W2
def test_what_others_push_meanwhile_is_left_alone(builder: Site, fresh: Site) -> None:
    """A push may take minutes: each stage is asked for again before it is sent."""
    fresh.populate()
    other = builder.backend.images.stages
    third = fresh.cache.chain.keys[2]

    def meanwhile(line: str) -> None:
        if line == f"push {fresh.cache.chain.keys[1]}":
            fresh.registry.stages[fresh.reference(2)] = other[third]

    fresh.registry.watch = meanwhile
    report = fresh.push()
    assert [stage.status for stage in report.stages] == ["pushed", "pushed", "present", "pushed"]
    assert fresh.registry.stages[fresh.reference(2)] is other[third]


def test_the_tip_alone(builder: Site) -> None:
    assert [stage.name for stage in builder.push(tip=True).stages] == ["c"]
    assert list(builder.registry.stages) == [builder.reference(3)]


@pytest.mark.parametrize("tip", [False, True])
def test_with_nothing_here_there_is_nothing_to_push(fresh: Site, tip: bool) -> None:
    report = fresh.push(tip=tip)
    assert report.stages == ()
    assert fresh.events == []


def test_the_tip_is_not_pushed_for_an_older_stage(builder: Site) -> None:
    builder.forget([3])
    assert builder.push(tip=True).stages == ()


# acceptance: 110
def test_the_first_failure_names_its_stage_and_the_next_push_goes_on_from_there(builder: Site) -> None:
    key = builder.cache.chain.keys[2]
    builder.registry.refused[key] = trouble(State.DENIED)
    with pytest.raises(RegistryError) as caught:
        builder.push()
    assert caught.value.message == "stage 'b' was not pushed: the registry is denied"
    assert (caught.value.state, caught.value.hint, caught.value.retry_after) == (State.DENIED, "a hint", 3.0)
    assert len(builder.registry.stages) == 2

    builder.registry.refused.clear()
    builder.registry.log.clear()
    report = builder.push()
    assert [stage.status for stage in report.stages] == ["present", "present", "pushed", "pushed"]
    assert builder.registry.log == ["probe 4", f"push {key}", "probe 1", f"push {builder.reference(3).tag}"]


@pytest.mark.parametrize(
    "state", [State.DOWN, State.TLS, State.RATE_LIMITED, State.BAD_CREDENTIALS, State.NOT_LOGGED_IN]
)
def test_a_push_that_cannot_succeed_is_not_begun(builder: Site, state: State) -> None:
    builder.registry.trouble = trouble(state)
    with pytest.raises(RegistryError, match="stage 'the empty cluster' was not pushed") as caught:
        builder.push()
    assert caught.value.state == state
    assert builder.registry.log == ["probe 4"]


@pytest.mark.parametrize("state", [State.HIDDEN, State.DENIED, State.UNKNOWN])
def test_whether_we_may_write_is_found_out_by_writing(builder: Site, state: State) -> None:
    builder.registry.trouble = trouble(state)
    assert [stage.status for stage in builder.push().stages] == ["pushed"] * 4


# fault: W13
def test_what_is_published_and_where_is_said_before_the_first_push(builder: Site) -> None:
    builder.push()
    [said] = builder.notes(warning=False)
    assert isinstance(builder.events[0], Note)
    assert "\n" not in said
    for word in ("4 stages", "instance main", f"{FAR}/pg-ephemeral/main", "data"):
        assert word in said
    builder.events.clear()
    builder.registry.stages.pop(builder.reference(3))
    builder.push()
    builder.push(force=True)
    assert builder.notes(warning=False) == [], "it is not the first"


@pytest.mark.parametrize("host", [NEAR, "localhost", "127.0.0.1:5000/x", "[::1]:5000"])
def test_a_registry_on_this_machine_is_not_announced(tmp_path: Path, host: str) -> None:
    site = Site(tmp_path, host=host)
    site.populate()
    site.push()
    assert site.notes(warning=False) == []


def test_progress_names_the_seed_and_the_registry(builder: Site, fresh: Site) -> None:
    builder.push(tip=True)
    fresh.pull()
    for site, push in ((builder, True), (fresh, False)):
        began, moved, ended = [one for one in site.events if not isinstance(one, Note)]
        assert began == TransferStarted(name="c", registry="ghcr.io", push=push)
        assert moved == Transferring(done=3, total=3)
        assert isinstance(ended, TransferFinished)
        assert (ended.name, ended.push, ended.sent) == ("c", push, 3 if push else None)


def test_sync_pulls_builds_and_pushes(builder: Site, fresh: Site) -> None:
    builder.push()
    builder.registry.stages.pop(builder.reference(3))
    report = fresh.sync()
    assert report.pulled is not None
    assert report.pushed is not None
    assert report.pulled.pulled == fresh.reference(2)
    assert [(stage.name, stage.status) for stage in report.pushed.stages] == [("b", "present"), ("c", "pushed")]
    assert [event.name for event in fresh.events if isinstance(event, SeedStarted)] == ["c"]
    assert report.warnings == ()


# fault: W3
def test_the_first_sync_ever_builds_and_pushes_all(tmp_path: Path) -> None:
    site = Site(tmp_path)
    report = site.sync()
    assert report.pushed is not None
    assert len(report.pushed.stages) == 4
    assert site.sync().to_json()["push"]["pushed"] == 0


# fault: W4
@pytest.mark.parametrize("state", [State.DOWN, State.NOT_LOGGED_IN, State.RATE_LIMITED, State.TLS])
def test_a_registrys_trouble_is_a_warning_for_sync(fresh: Site, state: State) -> None:
    fresh.registry.trouble = trouble(state)
    fresh.registry.refused = dict.fromkeys(fresh.cache.chain.keys, trouble(state))
    report = fresh.sync()
    assert (report.pulled, report.pushed) == (None, None)
    unsent = f"stage 'the empty cluster' was not pushed: the registry is {state}; what is missing there was not pushed"
    assert report.warnings == (
        f"the registry is {state}; building here instead (a hint)",
        f"{unsent} (a hint)",
    )
    assert fresh.notes(warning=True) == list(report.warnings)
    assert fresh.cache.present() == set(fresh.cache.chain.keys)


# fault: W4
def test_a_strict_sync_fails_with_the_registry(fresh: Site) -> None:
    fresh.registry.trouble = trouble()
    with pytest.raises(RegistryError) as caught:
        fresh.sync(strict=True)
    assert caught.value.state == State.DOWN
    assert fresh.cache.present() == frozenset()

    fresh.registry.trouble = None
    fresh.registry.refused = dict.fromkeys(fresh.cache.chain.keys, trouble(State.DENIED))
    with pytest.raises(RegistryError, match="was not pushed"):
        fresh.sync(strict=True)
    assert len(fresh.cache.present()) == 4, "what was built stays"


def test_sync_begins_again_when_a_stage_is_removed_before_it_is_pushed(fresh: Site) -> None:
    key = fresh.cache.chain.keys[2]

    def remove(line: str) -> None:
        if line == f"push {key}":
            fresh.registry.watch = lambda _line: None
            fresh.forget([2, 3])
            raise StageGone("stage b is gone")

    fresh.registry.watch = remove
    report = fresh.sync()
    assert report.pushed is not None
    assert report.warnings == ()
    assert [stage.status for stage in report.pushed.stages] == ["present", "present", "pushed", "pushed"]

    fresh.registry.refused = {key: StageGone("stage b is gone")}
    fresh.registry.stages.clear()
    with pytest.raises(StageGone):
        fresh.sync()


def test_sync_forgives_the_registry_alone(tmp_path: Path) -> None:
    seed = replace(words("a")[0], fails=True)  # type: ignore[type-var] # a WordSeed
    site = Site(tmp_path, options={"seeds": (seed,)})
    assert isinstance(seed, WordSeed)
    with pytest.raises(SeedFailed):
        site.sync()


# acceptance: 101, 102
@pytest.mark.parametrize("verb", [sharing.pull, sharing.push, sharing.sync])
def test_without_a_registry_the_error_says_how_to_set_one(tmp_path: Path, verb: Any) -> None:
    site = Site(tmp_path, host=None)
    with pytest.raises(DefinitionError, match="instance 'main' has no cache registry") as caught:
        verb(site.cache)
    assert "cache_registry" in (caught.value.hint or "")
    assert "--cache-registry" in (caught.value.hint or "")
    assert site.registry.log == []
    assert site.backend.starts == 0


def test_a_template_that_names_the_registry_is_enough(tmp_path: Path) -> None:
    template = RepositoryTemplate.parse("ghcr.io/owner/stages")
    site = Site(tmp_path, host=None, options={"cache_repository": template})
    site.populate()
    assert str(site.push().stages[-1].reference.name) == "ghcr.io/owner/stages"


# acceptance: 103, 104
def test_push_reset_pull_is_a_round_trip(builder: Site) -> None:
    before = dict(builder.backend.images.stages)
    builder.push()
    assert len(list(reset(builder.definition, builder.backend, force=True))) == 4
    assert builder.cache.present() == frozenset()
    assert builder.pull().pulled == builder.reference(3)
    key = builder.cache.chain.keys[3]
    assert builder.backend.images.stages == {key: before[key]}


# fault: W11
def test_the_document_of_a_pull(builder: Site, fresh: Site) -> None:
    builder.push()
    builder.registry.damaged = {builder.cache.chain.keys[3]}
    document = fresh.pull().to_json()
    assert list(document) == ["instance", "registry", "found", "pulled", "present", "complete", "looked"]
    assert document == {
        "instance": "main",
        "registry": "ghcr.io",
        "found": str(fresh.reference(2)),
        "pulled": str(fresh.reference(2)),
        "present": None,
        "complete": False,
        "looked": [
            {"name": "c", "cache_image": str(fresh.reference(3)), "state": "corrupt"},
            {"name": "b", "cache_image": str(fresh.reference(2)), "state": "present"},
        ],
    }
    assert list(document["looked"][0]) == ["name", "cache_image", "state"]
    builder.registry.damaged.clear()
    assert fresh.pull().to_json()["complete"] is True


# fault: W11
def test_the_document_of_a_pull_that_found_nothing(fresh: Site) -> None:
    document = fresh.pull().to_json()
    assert (document["found"], document["pulled"], document["present"], document["complete"]) == (
        None,
        None,
        None,
        False,
    )
    assert [one["state"] for one in document["looked"]] == ["absent"] * 4


# fault: W11
def test_the_document_of_a_push(builder: Site) -> None:
    builder.push(tip=True)
    document = builder.push().to_json()
    assert list(document) == ["instance", "registry", "pushed", "stages"]
    assert (document["instance"], document["registry"], document["pushed"]) == ("main", "ghcr.io", 3)
    assert [list(stage) for stage in document["stages"]] == [["name", "cache_image", "status", "sent_bytes"]] * 4
    assert document["stages"][1] == {
        "name": "a",
        "cache_image": str(builder.reference(1)),
        "status": "pushed",
        "sent_bytes": 1,
    }
    assert (document["stages"][3]["status"], document["stages"][3]["sent_bytes"]) == ("present", None)


# fault: W11
def test_the_document_of_a_sync(fresh: Site) -> None:
    document = fresh.sync().to_json()
    assert list(document) == ["pull", "push", "warnings"]
    assert (document["pull"]["found"], document["push"]["pushed"], document["warnings"]) == (None, 4, [])
    fresh.registry.trouble = trouble()
    document = fresh.sync().to_json()
    assert (document["pull"]["complete"], document["push"], len(document["warnings"])) == (True, None, 1)
