"""Populate, boot, reset and inspect, on the in-memory backend that passes the contract of the real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from msgspec import structs

from pg_ephemeral import cache
from pg_ephemeral.backends.base import Handle, Image, ServerSpec
from pg_ephemeral.cache import open_cache
from pg_ephemeral.chain import BaseIdentity
from pg_ephemeral.definition import Definition, InstanceName
from pg_ephemeral.errors import BackendError, BaseMoved, CacheError, SeedFailed, ServerError
from pg_ephemeral.labels import Metadata
from pg_ephemeral.lifecycle import boot
from pg_ephemeral.oci.reference import Reference, Registry
from pg_ephemeral.populate import populate, populate_only
from pg_ephemeral.progress import ClusterStarted, Event, Finished, Note, SeedFinished, SeedStarted, Waiting
from pg_ephemeral.seeds.base import SeedName
from support.memory import MemoryBackend, MemoryHandle, MemoryStore
from support.seeds import WordSeed, words


@pytest.fixture
def backend(tmp_path: Path) -> MemoryBackend:
    return MemoryBackend(tmp_path)


def definition(text: str, **options: object) -> Definition:
    return Definition(seeds=words(text), directory=Path("/"), **options)  # type: ignore[arg-type] # a short test helper


def rows(backend: MemoryBackend) -> list[str]:
    """The words of the server that runs."""
    (running,) = [handle for handle in backend.handles if handle.running]
    return running.words


# fault: W52
def test_a_cold_boot_builds_each_stage_on_one_server(backend: MemoryBackend) -> None:
    with boot(definition("a b c"), backend=backend) as server:
        assert rows(backend) == ["a", "b", "c"]
        assert server.running
    assert backend.starts == 1, "one clone carries the whole chain"
    assert backend.commits == 4
    assert backend.left_behind() == []


# fault: W53
def test_a_warm_boot_applies_nothing(backend: MemoryBackend) -> None:
    populate_only(open_cache(definition("a b"), backend))
    commits, starts, resumes = backend.commits, backend.starts, backend.resumes
    with boot(definition("a b"), backend=backend):
        assert rows(backend) == ["a", "b"]
    assert (backend.commits, backend.starts, backend.resumes) == (commits, starts + 1, resumes)


# fault: W54
@pytest.mark.parametrize("text", ["a", "a b c d e f g h"])
def test_however_long_the_chain_the_store_is_looked_at_once(tmp_path: Path, text: str) -> None:
    looks = []

    class Watched(MemoryStore):
        def get(self, references: Iterable[Reference]) -> Mapping[Reference, Image]:
            found = super().get(references)
            looks.append(found)
            return found

    backend = MemoryBackend(tmp_path, store=Watched())
    populate_only(open_cache(definition(text), backend))
    starts, opened = backend.starts, open_cache(definition(text), backend)
    for look in (cache.status, populate_only):
        looks.clear()
        look(opened)
        assert len(looks) == 1
    looks.clear()
    with boot(definition(text), backend=backend):
        assert len(looks) == 1
    assert backend.starts == starts + 1


def test_only_what_was_found_here_is_named(tmp_path: Path) -> None:
    """For an engine each name is a call, or two for what is not there."""
    tagged = []

    class Watched(MemoryStore):
        def tag(self, reference: Reference) -> None:
            tagged.append(str(reference.tag))
            super().tag(reference)

    backend = MemoryBackend(tmp_path, store=Watched())
    opened = open_cache(definition("a b c"), backend)
    populate_only(opened)
    assert tagged == [], "what is made is made under its name"
    populate_only(opened)
    assert tagged == list(opened.chain.keys)
    for key in opened.chain.keys[:-1]:
        backend.images.remove(opened.reference(key), force=True)
    tagged.clear()
    populate_only(opened)
    assert tagged == [opened.chain.keys[-1]]
    tagged.clear()
    populate_only(longer := open_cache(definition("a b c d"), backend))
    assert tagged == [opened.chain.keys[-1]]
    assert longer.present() == set(longer.chain.keys[3:])


# fault: W1
def test_only_the_tip_is_needed(backend: MemoryBackend) -> None:
    opened = open_cache(definition("a b c"), backend)
    populate_only(opened)
    for key in opened.chain.keys[:-1]:
        backend.images.remove(opened.reference(key), force=True)
    commits, starts = backend.commits, backend.starts
    with boot(definition("a b c"), backend=backend):
        assert rows(backend) == ["a", "b", "c"]
    assert (backend.commits, backend.starts) == (commits, starts + 1)


def test_a_change_rebuilds_from_there_on(backend: MemoryBackend) -> None:
    populate_only(open_cache(definition("a b c"), backend))
    events: list[Event] = []
    with boot(definition("a x c"), backend=backend, progress=events.append):
        assert rows(backend) == ["a", "x", "c"]
    assert [event.name for event in events if isinstance(event, SeedStarted)] == ["x", "c"]
    assert isinstance(events[-1], Finished)
    assert (events[-1].built, events[-1].reused, events[-1].replayed) == (2, 1, 0)


def test_seeds_after_a_break_are_replayed_at_every_boot(backend: MemoryBackend) -> None:
    for _ in range(2):
        events: list[Event] = []
        with boot(definition("a b! c"), backend=backend, progress=events.append):
            assert rows(backend) == ["a", "b", "c"]
        assert [event.name for event in events if isinstance(event, SeedFinished) and not event.cached] == ["b", "c"]
    assert backend.left_behind() == []


def test_progress_tells_the_whole_story(backend: MemoryBackend) -> None:
    events: list[Event] = []
    with boot(definition("a b!"), backend=backend, progress=events.append):
        pass
    assert [type(event) for event in events] == [
        ClusterStarted,
        SeedStarted,
        SeedFinished,
        SeedStarted,
        SeedFinished,
        Finished,
    ]
    started = [event for event in events if isinstance(event, SeedStarted)]
    assert [(event.position, event.total, event.cached) for event in started] == [(1, 2, True), (2, 2, False)]


# fault: W51
def test_the_slow_seed_is_found_by_its_duration(backend: MemoryBackend) -> None:
    def dawdle() -> None:
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass

    slow = WordSeed(name=SeedName("b"), word="b", before=dawdle)
    slow_again = WordSeed(name=SeedName("d"), word="d", before=dawdle, cached=False)
    seeds = (*words("a"), slow, *words("c"), slow_again)
    events: list[Event] = []
    with boot(Definition(seeds=seeds, directory=Path("/")), backend=backend, progress=events.append):
        pass
    seconds = {event.name: event.seconds for event in events if isinstance(event, SeedFinished)}
    assert list(seconds) == ["a", "b", "c", "d"], "each in its turn, cached or not"
    assert min(seconds["b"], seconds["d"]) >= 0.1
    assert max(seconds["a"], seconds["c"]) < min(seconds["b"], seconds["d"])
    assert isinstance(events[-1], Finished)
    assert events[-1].seconds >= sum(seconds.values())


# fault: W26
@pytest.mark.parametrize("text", ["a", "a!"])
def test_a_failing_seed_leaves_nothing(backend: MemoryBackend, text: str) -> None:
    failing = Definition(seeds=words(text, fails=True), directory=Path("/"))
    with pytest.raises(SeedFailed, match="seed 'a'"), boot(failing, backend=backend):
        pytest.fail("the block must not run")
    assert backend.left_behind() == []


def test_what_was_built_before_a_failure_stays(backend: MemoryBackend) -> None:
    seeds = (*words("a b"), *words("c", fails=True))
    with pytest.raises(SeedFailed), boot(Definition(seeds=seeds, directory=Path("/")), backend=backend):
        pass
    events: list[Event] = []
    with boot(definition("a b c"), backend=backend, progress=events.append):
        pass
    assert [event.name for event in events if isinstance(event, SeedStarted)] == ["c"]


@pytest.mark.parametrize("text", ["a", "a!"])
def test_a_server_that_dies_under_a_seed_is_reported_with_its_log(backend: MemoryBackend, text: str) -> None:
    deadly = Definition(seeds=words(text, kills_server=True), directory=Path("/"))
    with pytest.raises(ServerError, match="died while seed 'a'") as caught, boot(deadly, backend=backend):
        pass
    assert caught.value.detail == "the last words"
    assert backend.left_behind() == []


# fault: W30
@pytest.mark.parametrize("text", ["a", "a!"])
def test_what_failed_first_is_what_comes_out(tmp_path: Path, text: str) -> None:
    class Stuck(MemoryBackend):
        def remove(self, handle: Handle) -> None:
            super().remove(handle)
            raise ServerError("the server cannot be stopped")

    backend = Stuck(tmp_path)
    with pytest.raises(ZeroDivisionError) as caught, boot(definition(text), backend=backend):
        raise ZeroDivisionError
    assert "the server cannot be stopped" in caught.value.__notes__[0]
    with pytest.raises(ServerError, match="cannot be stopped"), boot(definition(text), backend=backend):
        pass
    failing = Definition(seeds=words(f"{text} b", fails=True), directory=Path("/"))
    with pytest.raises(SeedFailed) as failed, boot(failing, backend=Stuck(tmp_path)):
        pass
    assert "the server cannot be stopped" in failed.value.__notes__[0]
    assert backend.left_behind() == []


def test_an_interrupt_while_building_leaves_nothing(backend: MemoryBackend) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    seeds = (*words("a"), WordSeed(name=SeedName("b"), word="b", before=interrupt))
    with pytest.raises(KeyboardInterrupt), boot(Definition(seeds=seeds, directory=Path("/")), backend=backend):
        pass
    assert backend.left_behind() == []


# fault: W21
def test_a_container_script_is_refused_before_anything_starts(backend: MemoryBackend) -> None:
    seeds = (*words("a"), *words("b", build=True))
    with pytest.raises(BackendError, match="seed 'b'") as caught:
        populate_only(open_cache(Definition(seeds=seeds, directory=Path("/")), backend))
    assert "docker and podman" in (caught.value.hint or "")
    assert backend.starts == 0


# fault: W17
def test_more_seeds_than_a_label_can_name_are_refused_before_anything_starts(backend: MemoryBackend) -> None:
    many = definition(" ".join(f"{number}-{'x' * 50}" for number in range(600)))
    with pytest.raises(CacheError, match="too many seeds to describe in a label: 600"):
        populate_only(open_cache(many, backend))
    assert backend.starts == 0


# fault: W9, W17
def test_the_registry_names_a_stage_but_does_not_decide_whether_it_is_there(backend: MemoryBackend) -> None:
    populate_only(open_cache(definition("a b"), backend))
    elsewhere = definition("a b", cache_registry=Registry.parse("ghcr.io/mbj"))
    opened = open_cache(elsewhere, backend)
    report = cache.status(opened).to_json()
    assert report["summary"] == {"total": 2, "hits": 2, "misses": 0, "uncacheable": 0}
    plain = cache.status(open_cache(definition("a b"), backend)).to_json()
    assert [seed["cache_image"] for seed in report["seeds"]] == [
        f"ghcr.io/mbj/{seed['cache_image']}" for seed in plain["seeds"]
    ]


def test_two_instances_share_what_they_have_in_common(backend: MemoryBackend) -> None:
    populate_only(open_cache(definition("a b"), backend))
    commits = backend.commits
    populate_only(open_cache(definition("a c", instance=InstanceName("other")), backend))
    assert backend.commits == commits + 1


def test_reset_forgets_one_instance(backend: MemoryBackend) -> None:
    mine, other = definition("a b"), definition("a c", instance=InstanceName("other"))
    for one in (mine, other):
        populate_only(open_cache(one, backend))
    removed = list(cache.reset(mine, backend))
    assert len(removed) == 3, "stage 0 and two seeds"
    assert list(cache.reset(mine, backend)) == [], "nothing is left to remove"
    assert cache.status(open_cache(other, backend)).to_json()["summary"]["hits"] == 2
    assert cache.status(open_cache(definition("b"), backend)).to_json()["summary"]["hits"] == 0


def test_reset_forgets_what_was_made_before_there_was_a_registry(backend: MemoryBackend) -> None:
    populate_only(open_cache(definition("a b"), backend))
    shared = definition("a b", cache_registry=Registry.parse("ghcr.io/mbj"))
    populate_only(open_cache(shared, backend))
    assert len(list(cache.reset(shared, backend))) == 6, "three stages by two names"
    assert cache.status(open_cache(definition("a b"), backend)).to_json()["summary"]["hits"] == 0


# fault: W16
def test_what_the_file_describes_no_more_can_be_forgotten_alone(backend: MemoryBackend) -> None:
    populate_only(open_cache(definition("a b"), backend))
    now = open_cache(definition("a c"), backend)
    populate_only(now)
    [outdated] = cache.reset(now.definition, backend, keep=now.chain.keys)
    assert outdated == open_cache(definition("a b"), backend).reference(
        open_cache(definition("a b"), backend).chain.keys[-1]
    )
    assert cache.status(now).to_json()["summary"]["hits"] == 2


# fault: W16
def test_everything_can_be_forgotten_whosever_it_is(backend: MemoryBackend) -> None:
    for name in ("main", "renamed"):
        populate_only(open_cache(definition("a b", instance=InstanceName(name)), backend))
    assert len(list(cache.reset_all(backend))) == 6
    assert backend.images.stages == {}


def test_a_reset_between_planning_and_starting_is_survived(backend: MemoryBackend) -> None:
    opened = open_cache(definition("a b"), backend)
    populate_only(opened)
    real, calls = backend.start, []

    def start(source: object, spec: object, **how: object) -> object:
        calls.append(source)
        if len(calls) == 1:
            list(cache.reset(definition("a b"), backend))
        return real(source, spec, **how)  # type: ignore[arg-type] # the arguments pass straight through

    backend.start = start  # type: ignore[method-assign, assignment] # stands for another process
    with boot(definition("a b"), backend=backend):
        assert rows(backend) == ["a", "b"]
    assert backend.left_behind() == []


# acceptance: 118
# fault: W18, W20
class _Moving(MemoryBackend):
    """Its base turns out to be another when the first server is to be made of it."""

    moved = False

    def identify(self) -> BaseIdentity:
        found = super().identify()
        return structs.replace(found, fields={**found.fields, "moved": self.moved})

    def start(self, source: Reference | None, spec: ServerSpec, *, serve: bool = True) -> Handle:
        if source is None and not self.moved:
            self.moved = True
            raise BaseMoved("it is another")
        return super().start(source, spec, serve=serve)


def test_a_base_that_turns_out_to_be_another_is_planned_on_again(tmp_path: Path) -> None:
    backend, events = _Moving(tmp_path / "boot"), list[Event]()
    with boot(definition("a b"), backend=backend, progress=events.append):
        assert rows(backend) == ["a", "b"]
    assert [event.text for event in events if isinstance(event, Note)] == ["it is another; planning again"]
    now = open_cache(definition("a b"), backend)
    assert now.present() == set(now.chain.keys)
    backend = _Moving(tmp_path / "populate")
    asked = open_cache(definition("a b"), backend)
    populated = populate_only(asked)
    assert populated.present() == set(populated.chain.keys), "what is given back is what is there"
    assert asked.present() == set()


def test_a_stage_describes_itself_and_what_it_holds(backend: MemoryBackend) -> None:
    opened = open_cache(definition("a b c"), backend)
    populate_only(opened)
    for position, key in enumerate(opened.chain.keys):
        about = cache.inspect(backend, opened.reference(key))
        assert about.key == key
        assert [entry.name for entry in about.seeds] == ["a", "b", "c"][:position]
        assert about == Metadata.from_labels(about.to_labels())


def test_inspecting_what_is_absent_names_it(backend: MemoryBackend) -> None:
    opened = open_cache(definition("a"), backend)
    reference = opened.reference(opened.chain.cluster)
    with pytest.raises(CacheError, match=str(reference)):
        cache.inspect(backend, reference)


def test_one_of_two_at_once_builds_and_the_other_waits(backend: MemoryBackend, tmp_path: Path) -> None:
    waits = threading.Event()
    applied: list[str] = []
    waited_for: list[str] = []

    def slow() -> None:
        applied.append("slow")
        assert waits.wait(30), "the other one never came to wait"

    def shared(before: bool) -> Definition:
        seed = WordSeed(name=SeedName("slow"), word="slow", before=slow if before else lambda: applied.append("again"))
        return Definition(seeds=(seed, *words("b")), directory=Path("/"))

    def listen(event: Event) -> None:
        if isinstance(event, Waiting):
            waited_for.append(event.name)
            waits.set()

    other = MemoryBackend(tmp_path, store=backend.images)
    building = threading.Event()

    def first() -> None:
        def progress(event: Event) -> None:
            if isinstance(event, SeedStarted):
                building.set()

        populate_only(open_cache(shared(before=True), backend), progress=progress)

    thread = threading.Thread(target=first)
    thread.start()
    assert building.wait(30)
    populate_only(open_cache(shared(before=False), other), progress=listen)
    thread.join()
    assert applied == ["slow"]
    assert waited_for[0] == "slow"
    assert backend.commits + other.commits == 3, "stage 0 and each seed, once"
    assert (backend.left_behind(), other.left_behind()) == ([], [])


class _Interrupted(MemoryStore):
    """Somebody else comes to ``work`` right after the first look at it."""

    def __init__(self, stages: MemoryStore, work: Callable[[], object]) -> None:
        super().__init__()
        self.stages, self.names, self.guard, self.clock = stages.stages, stages.names, stages.guard, stages.clock
        self._work: Callable[[], object] | None = work

    def get(self, references: Iterable[Reference]) -> Mapping[Reference, Image]:
        found = super().get(references)
        work, self._work = self._work, None
        if work is not None:
            work()
        return found


@pytest.mark.parametrize("there", ["", "a b"])
def test_what_somebody_made_after_the_look_is_not_made_again(
    backend: MemoryBackend, tmp_path: Path, there: str
) -> None:
    populate_only(open_cache(definition(there), backend))
    asked = definition("a b c")
    store = _Interrupted(backend.images, lambda: populate_only(open_cache(asked, backend)))
    late = MemoryBackend(tmp_path, store=store)
    assert populate(open_cache(asked, late)).built == 0
    assert (late.starts, late.commits) == (0, 0)


def test_a_populated_chain_hands_over_a_stopped_server_at_its_end(backend: MemoryBackend) -> None:
    opened = open_cache(definition("a b"), backend)
    populated = populate(opened)
    assert isinstance(populated.handle, MemoryHandle)
    assert (populated.handle.words, populated.handle.running) == (["a", "b"], False)
    assert populated.built == 2
    backend.remove(populated.handle)
    assert populate(opened).handle is None
