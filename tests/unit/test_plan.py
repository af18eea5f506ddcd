"""Plans: start at the newest present stage, build the rest, replay what cannot be cached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.plan import Reason, Status, make_plan, seed_statuses
from unit.test_chain import chain


# fault: W1
def test_the_newest_present_stage_is_enough() -> None:
    three = chain("a b c")
    plan = make_plan(three, {three.keys[-1]})
    assert plan.start == three.keys[-1]
    assert plan.build == ()
    assert plan.reused == 3
    assert plan.complete


def test_nothing_present_means_everything_from_stage_0() -> None:
    three = chain("a b c")
    plan = make_plan(three, set())
    assert plan.start is None
    assert plan.next_key == three.cluster
    assert [stage.name for stage in plan.build] == ["a", "b", "c"]
    assert not plan.complete


def test_an_instance_without_seeds_starts_from_stage_0() -> None:
    empty = chain("")
    plan = make_plan(empty, {empty.cluster})
    assert plan.complete
    assert plan.start == empty.cluster


def test_a_gap_is_built_over() -> None:
    four = chain("a b c d")
    plan = make_plan(four, {four.keys[0], four.keys[2]})
    assert plan.start == four.keys[2]
    assert [stage.name for stage in plan.build] == ["c", "d"]
    assert plan.next_key == four.keys[3]


@given(present=st.sets(st.integers(min_value=0, max_value=5)))
def test_start_build_and_replay_cover_the_chain_exactly(present: set[int]) -> None:
    six = chain("a b c d e f! g")
    plan = make_plan(six, {six.keys[index] for index in present})
    reused = plan.reused
    assert plan.build == six.stages[reused : len(six.cacheable)]
    assert plan.replay == six.stages[len(six.cacheable) :]
    if present:
        assert plan.start == six.keys[max(present)]
        assert reused == max(present)


# acceptance: 22, 23, 24, 87
def test_every_seed_has_a_status_of_its_own() -> None:
    broken = chain("a b c! d")
    statuses = seed_statuses(broken, {broken.keys[2]})
    assert [status.status for status in statuses] == [
        Status.MISS,
        Status.HIT,
        Status.UNCACHEABLE,
        Status.UNCACHEABLE,
    ]
    assert [status.reason for status in statuses[2:]] == [
        Reason.CACHE_STRATEGY_NONE,
        Reason.CHAIN_BROKEN_BY_PREDECESSOR,
    ]
    assert [status.broken_by for status in statuses] == [None, None, None, "c"]
    assert statuses[0].stage.key == broken.keys[1]
    assert statuses[2].stage.key is None


@pytest.mark.parametrize("text", ["a!", "a! b! c"])
def test_a_chain_that_is_broken_at_once_still_has_stage_0(text: str) -> None:
    broken = chain(text)
    plan = make_plan(broken, {broken.cluster})
    assert plan.start == broken.cluster
    assert plan.replay == broken.stages
