"""Trying again: how often, how long, and what for. Time here is a number that the test moves on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.patience import Deadline, Patience
from pg_ephemeral.oci.state import State


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, *, tries: int = 4, limit: float = 60.0) -> Patience:
        return Patience(tries=tries, pause=1.0, limit=limit, sleep=self.sleep, clock=lambda: self.now)


def failing(times: int, state: State = State.DOWN, retry_after: float | None = None) -> Callable[[], int]:
    """Work that fails so many times, and then says how often it was tried."""
    tried = 0

    def work() -> int:
        nonlocal tried
        tried += 1
        if tried <= times:
            raise RegistryError(f"try {tried}", state=state, retry_after=retry_after)
        return tried

    return work


def test_what_passes_is_tried_again_after_growing_pauses() -> None:
    clock = Clock()
    assert clock.patience().insist(failing(3)) == 4
    assert [0.5 <= one / expected <= 1 for one, expected in zip(clock.slept, (1, 2, 4), strict=True)] == [True] * 3


def test_tries_end() -> None:
    with pytest.raises(RegistryError, match="try 4"):
        Clock().patience().insist(failing(9))


@pytest.mark.parametrize("state", [one for one in State if not one.is_passing])
def test_what_does_not_pass_is_not_tried_again(state: State) -> None:
    clock = Clock()
    with pytest.raises(RegistryError, match="try 1"):
        clock.patience().insist(failing(1, state))
    assert clock.slept == []


def test_retry_after_is_obeyed() -> None:
    clock = Clock()
    assert clock.patience().insist(failing(1, State.RATE_LIMITED, 30)) == 2
    assert clock.slept == [30]


def test_retry_after_beyond_the_limit_ends_it_at_once() -> None:
    clock = Clock()
    with pytest.raises(RegistryError, match="try 1"):
        clock.patience().insist(failing(1, State.RATE_LIMITED, 61))
    assert clock.slept == []


def test_time_ends_it_too() -> None:
    clock = Clock()
    with pytest.raises(RegistryError, match="try 3"):
        clock.patience(tries=100, limit=5.0).insist(failing(99, retry_after=2))
    assert clock.now == 4


def test_what_the_tries_take_is_not_counted() -> None:
    """To move much takes long, and says nothing of the next try."""
    clock = Clock()
    work = failing(3)

    def working() -> int:
        clock.now += 1000
        return work()

    assert clock.patience(limit=8).insist(working) == 4
    assert len(clock.slept) == 3


def test_a_transfer_whose_time_is_up_is_not_tried_again() -> None:
    clock = Clock()
    patience = clock.patience()
    deadline = Deadline.within(10.0, patience)

    def working() -> None:
        clock.now += 11
        deadline.check(patience.clock(), "the blob")

    with pytest.raises(RegistryError, match="the blob: not transferred within 10 s"):
        patience.insist(working)
    assert clock.slept == []


def test_who_is_stopped_in_a_pause_tries_nothing_more() -> None:
    patience = Patience(tries=2, pause=30.0)
    tried: list[int] = []

    def working() -> None:
        tried.append(1)
        threading.Thread(target=patience.stopped.set).start()
        raise RegistryError("down", state=State.DOWN)

    with pytest.raises(RegistryError, match="down"):
        patience.insist(working)
    assert tried == [1]


def test_progress_is_a_new_beginning() -> None:
    clock, done = Clock(), 0
    work = failing(20)

    def working() -> int:
        nonlocal done
        done += 1
        return work()

    assert clock.patience(limit=20).insist(working, progress=lambda: done) == 21
