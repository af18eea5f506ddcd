"""What a pool decides without a server: options, the choice of a strategy, what to do next, who is served when."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pg_ephemeral.databases import Kind, Options, Strategy, work
from pg_ephemeral.databases.calm import Calm
from pg_ephemeral.databases.choice import Choice
from pg_ephemeral.databases.connections import explained
from pg_ephemeral.databases.ledger import Ledger
from pg_ephemeral.databases.opened import Opened
from pg_ephemeral.databases.stock import QUIET, Stock, Work
from pg_ephemeral.errors import ClientError, InvalidValue, ServerError

SIZE = 1000


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGUSR1 interrupts the main thread as a user would."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def stock(**options: int) -> Stock:
    made = Stock(Options(**options))  # type: ignore[arg-type] # the options of these tests are numbers
    made.clone_size, made.disk = SIZE, options.get("disk", 100 * SIZE)
    return made


def opened(name: str) -> Opened:
    connection: Any = None
    return Opened(name=name, kind=Kind.SYNC, connection=connection, settings=b"")


class TestOptions:
    @pytest.mark.parametrize("wrong", [{"ready": -1}, {"connections": -1}, {"disk": -1}, {"processes": 0}])
    def test_numbers_have_a_least(self, wrong: dict[str, int]) -> None:
        with pytest.raises(InvalidValue) as caught:
            Options(**wrong)  # type: ignore[arg-type] # as above
        assert next(iter(wrong)) in caught.value.message

    @pytest.mark.parametrize("prefix", ["", "x" * 41, "a\0b"])
    def test_a_prefix_leaves_room_for_the_rest_of_a_name(self, prefix: str) -> None:
        with pytest.raises(InvalidValue):
            Options(prefix=prefix)

    def test_a_tablespace_is_an_identifier(self) -> None:
        with pytest.raises(InvalidValue):
            Options(tablespace="")


class TestChoice:
    def test_each_is_tried_once_then_the_fastest_is_used(self) -> None:
        choice = Choice(Strategy)
        assert choice.best is None
        for strategy, seconds in ((Strategy.FILE_COPY, 3.0), (Strategy.CLONE, 1.0), (Strategy.WAL_LOG, 2.0)):
            assert choice.next() is strategy
            choice.record(strategy, seconds)
        assert choice.next() is choice.best is Strategy.CLONE

    def test_one_that_has_become_slow_is_left(self) -> None:
        choice = Choice((Strategy.FILE_COPY, Strategy.WAL_LOG))
        choice.record(Strategy.FILE_COPY, 1.0)
        choice.record(Strategy.WAL_LOG, 2.0)
        for _ in range(5):
            choice.record(Strategy.FILE_COPY, 9.0)
        assert choice.next() is Strategy.WAL_LOG

    def test_one_bad_measurement_is_not_for_ever(self) -> None:
        choice = Choice((Strategy.FILE_COPY, Strategy.WAL_LOG))
        choice.record(Strategy.FILE_COPY, 9.0)
        choice.record(Strategy.WAL_LOG, 2.0)
        used = 0
        while choice.next() is Strategy.WAL_LOG:
            choice.record(Strategy.WAL_LOG, 2.0)
            used += 1
        assert 10 < used < 200

    def test_one_that_cannot_be_used_is_given_up_unless_it_is_the_last(self) -> None:
        choice = Choice((Strategy.CLONE, Strategy.FILE_COPY))
        assert choice.give_up(Strategy.CLONE)
        assert choice.give_up(Strategy.CLONE)
        choice.record(Strategy.CLONE, 0.1)
        assert choice.next() is Strategy.FILE_COPY
        assert not choice.give_up(Strategy.FILE_COPY)
        assert choice.next() is Strategy.FILE_COPY


class TestCalm:
    def test_nothing_is_known_before_some_copies_were_made(self) -> None:
        calm = Calm()
        for _ in range(2):
            calm.copied(Strategy.FILE_COPY, 1.0)
            calm.copied(Strategy.WAL_LOG, 1.0)
        assert not calm.lets_drop
        calm.copied(Strategy.FILE_COPY, 1.0)
        assert calm.lets_drop

    def test_drops_that_slow_copies_down_are_left_for_good(self) -> None:
        calm = self._measured()
        for _ in range(20):
            calm.copied(Strategy.FILE_COPY, 10.0)
        assert not calm.lets_drop
        for _ in range(100):
            calm.copied(Strategy.FILE_COPY, 1.0)
        assert not calm.lets_drop

    def test_a_busy_machine_and_another_strategy_are_no_reason(self) -> None:
        calm = self._measured()
        for seconds in (2.0, 2.5, 50.0, 1.0, 2.0, 2.5):
            calm.copied(Strategy.FILE_COPY, seconds)
            calm.copied(Strategy.WAL_LOG, 50.0)
            assert calm.lets_drop

    def _measured(self) -> Calm:
        calm = Calm()
        for seconds in (0.5, 1.0, 1.5):
            calm.copied(Strategy.FILE_COPY, seconds)
        calm.dropped()
        return calm


class TestDisk:
    def test_what_is_asked_for_is_had(self) -> None:
        assert work.disk_budget(Options(disk=SIZE, processes=4), None) == SIZE

    def test_processes_share_what_is_free(self, tmp_path: Path) -> None:
        for directory in (str(tmp_path), str(tmp_path / "nowhere"), None):
            alone = work.disk_budget(Options(), directory)
            assert work.disk_budget(Options(processes=4), directory) == pytest.approx(alone / 4, rel=0.1)
            assert alone > 0


class TestStock:
    def test_ready_ones_are_made_up_to_their_number(self) -> None:
        pool = stock(ready=2)
        assert pool.next(waiting=0, now=0) is Work.MAKE
        pool.ready.extend("ab")
        assert pool.next(waiting=0, now=0) is None

    def test_without_a_pool_only_what_is_waited_for_is_made(self) -> None:
        pool = stock(ready=0)
        assert pool.next(waiting=0, now=0) is None
        assert pool.next(waiting=1, now=0) is Work.MAKE
        pool.making = 1
        assert pool.next(waiting=1, now=0) is None

    def test_one_connection_is_left_for_clearing_away(self) -> None:
        pool = stock(ready=9, connections=3)
        pool.making = 1
        assert pool.next(waiting=0, now=0) is None
        pool.returned.append("a")
        assert pool.next(waiting=0, now=0) is Work.RETIRE
        assert pool.next(waiting=1, now=0) is None

    def test_making_comes_before_clearing_away(self) -> None:
        pool = stock(ready=1)
        pool.returned.append("a")
        assert pool.next(waiting=0, now=0) is Work.MAKE

    def test_sessions_do_not_pile_up(self) -> None:
        pool = stock(ready=1)
        pool.returned.extend(map(str, range(20)))
        assert pool.next(waiting=1, now=0) is Work.RETIRE
        assert pool.next(waiting=1, now=0, calm=True) is Work.DROP

    def test_nothing_is_dropped_until_it_is_quiet(self) -> None:
        pool = stock(ready=0)
        pool.trash["a"] = SIZE
        pool.taken_at = 5.0
        assert pool.next(waiting=0, now=5.0) is None
        assert pool.quiet_in(5.0) == QUIET
        assert pool.next(waiting=0, now=5.0 + QUIET) is Work.DROP

    def test_where_that_does_no_harm_it_is_dropped_when_there_is_nothing_to_make(self) -> None:
        pool = stock(ready=1)
        pool.trash["a"] = SIZE
        pool.taken_at = 5.0
        assert pool.next(waiting=0, now=5.0, calm=True) is Work.MAKE
        pool.making = 1
        assert pool.next(waiting=0, now=5.0, calm=True) is not Work.DROP
        pool.making = 0
        pool.ready.append("b")
        assert pool.next(waiting=0, now=5.0) is None
        assert pool.next(waiting=1, now=5.0, makes=False, calm=True) is None
        assert pool.next(waiting=0, now=5.0, calm=True) is Work.DROP

    def test_where_connections_are_few_nothing_is_cleared_away_but_for_room(self) -> None:
        pool = stock(ready=0, connections=0, disk=4 * SIZE)
        pool.returned.append("a")
        assert pool.next(waiting=0, now=9.0, calm=True) is None
        assert pool.next(waiting=1, now=9.0, calm=True) is Work.MAKE
        pool.returned.extend("bcd")
        assert pool.next(waiting=0, now=9.0) is Work.RETIRE
        assert pool.next(waiting=0, now=9.0, calm=True) is Work.DROP

    def test_where_drops_do_no_harm_they_end_the_sessions_too(self) -> None:
        pool = stock(ready=0)
        pool.trash["a"] = SIZE
        pool.returned.extend("bc")
        assert pool.next(waiting=0, now=0) is Work.RETIRE
        assert pool.next(waiting=0, now=0, calm=True) is Work.DROP
        assert [pool.pop_unused(calm=True) for _ in range(3)] == ["b", "c", "a"]
        pool.returned.append("d")
        pool.making = 1
        assert pool.next(waiting=0, now=0, calm=True) is None

    def test_a_ready_one_is_connected_to_when_that_is_wanted(self) -> None:
        pool = stock(ready=2)
        pool.ready.append("a")
        assert pool.next(waiting=0, now=0) is Work.MAKE
        pool.wanted = Kind.SYNC
        assert pool.next(waiting=0, now=0) is Work.CONNECT
        assert pool.next(waiting=2, now=0) is Work.MAKE
        pool.connecting = len(pool.ready)
        pool.ready.clear()
        assert pool.next(waiting=0, now=0) is Work.MAKE
        pool.ready.append("b")
        assert pool.next(waiting=0, now=0) is None
        pool.connecting = 0
        pool.opened.append(opened("a"))
        assert pool.next(waiting=0, now=0) is None
        assert pool.everything() == ["b", "a"]
        # Who does not want it, cannot have it.
        pool.wanted = None
        assert pool.next(waiting=0, now=0) is Work.MAKE

    @pytest.mark.parametrize("options", [{"ready": 0}, {"connections": 1}, {"connections": 0}])
    def test_nothing_is_connected_to_ahead_without_a_pool_or_a_connection_for_it(self, options: dict[str, int]) -> None:
        pool = stock(**options)
        pool.ready.extend("ab")
        pool.wanted = Kind.SYNC
        assert pool.next(waiting=0, now=0) is None
        assert pool.options.hands == pool.options.connections

    def test_without_room_it_is_dropped_until_half_is_free(self) -> None:
        pool = stock(ready=0, disk=4 * SIZE)
        pool.trash = dict.fromkeys("abcd", SIZE)
        dropped = 0
        while pool.next(waiting=0, now=0) is Work.DROP:
            pool.trash.popitem()
            dropped += 1
        assert dropped == 2

    def test_nothing_is_made_ahead_without_room_but_nobody_is_let_wait(self) -> None:
        pool = stock(ready=2, disk=2 * SIZE)
        pool.trash["a"] = 2 * SIZE
        assert pool.next(waiting=1, now=0) is Work.MAKE
        assert pool.next(waiting=0, now=0) is Work.DROP

    def test_after_a_failure_nothing_is_made(self) -> None:
        pool = stock(ready=2)
        assert pool.next(waiting=1, now=0, makes=False) is None


class TestLedger:
    def test_first_come_first_served(self) -> None:
        ledger = Ledger(Options())
        got: list[tuple[int, str]] = []
        threads = []

        def take(number: int) -> None:
            got.append((number, ledger.take()[0]))

        for number in range(3):
            thread = threading.Thread(target=take, args=(number,))
            thread.start()
            threads.append(thread)
            with ledger.changed:
                while len(ledger.waiting) <= number:
                    ledger.changed.wait()
        for number, thread in enumerate(threads):
            ledger.stock.making += 1
            ledger.made(str(number))
            thread.join()
        assert got == [(0, "0"), (1, "1"), (2, "2")]
        assert ledger.timings.takes == 3

    def test_a_failure_reaches_everybody_who_waits(self) -> None:
        ledger = Ledger(Options())
        failures: list[ClientError] = []

        def take() -> None:
            try:
                ledger.take()
            except ClientError as error:
                failures.append(error)

        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        with ledger.changed:
            ledger.changed.wait_for(lambda: len(ledger.waiting) == 2)
            ledger.fail(ClientError("full"), ledger.begin(), calls=False)
        for thread in threads:
            thread.join()
        assert [error.message for error in failures] == ["full", "full"]
        assert not ledger.going

    def test_what_is_ready_is_handed_out_after_a_failure_and_another_attempt_is_made(self) -> None:
        ledger = Ledger(Options())
        ledger.wake()
        ledger.stock.ready.append("a")
        ledger.fail(ClientError("full"), ledger.begin(), calls=False)
        assert not ledger.going
        assert ledger.take() == ("a", None)
        assert ledger.going

    def test_a_failure_is_told_to_nobody_who_came_after_the_attempt_began(self) -> None:
        ledger = Ledger(Options())
        attempt = ledger.begin()
        got: list[str] = []
        thread = threading.Thread(target=lambda: got.append(ledger.take()[0]))
        thread.start()
        with ledger.changed:
            ledger.changed.wait_for(lambda: len(ledger.waiting) == 1)
            ledger.fail(ClientError("full"), attempt, calls=False)
            assert len(ledger.waiting) == 1
            assert ledger.going
            ledger.stock.making += 1
            ledger.made("a")
        thread.join()
        assert got == ["a"]

    @pytest.mark.usefixtures("interruptible")
    def test_what_was_made_for_one_who_is_interrupted_is_for_the_next_who_waits(self) -> None:
        ledger = Ledger(Options())
        got: list[str] = []
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            with ledger.changed:
                ledger.changed.wait_for(lambda: len(ledger.waiting) == 2)
                ledger.stock.making += 1
                ledger.made("a")
                signal.pthread_kill(main, signal.SIGUSR1)

        def take() -> None:
            with ledger.changed:
                ledger.changed.wait_for(lambda: len(ledger.waiting) == 1)
            got.append(ledger.take()[0])

        threads = [threading.Thread(target=target) for target in (interrupt, take)]
        for thread in threads:
            thread.start()
        with pytest.raises(KeyboardInterrupt):
            ledger.take()
        for thread in threads:
            thread.join()
        assert got == ["a"]
        assert ledger.stock.taken == {"a"}
        assert not ledger.stock.ready

    def test_who_wants_no_connection_gets_a_clone_without_one(self) -> None:
        ledger = Ledger(Options())
        ledger.stock.opened.append(opened("a"))
        ledger.stock.ready.append("b")
        assert ledger.take() == ("b", None)
        name, connected = ledger.take(Kind.ASYNC)
        assert (name, connected) == ("a", opened("a"))
        assert ledger.stock.taken == {"a", "b"}

    def test_a_connection_is_for_the_first_who_waits_and_wants_it(self) -> None:
        ledger = Ledger(Options())
        got: dict[Kind | None, str] = {}

        def take(wanted: Kind | None) -> None:
            got[wanted] = ledger.take(wanted)[0]

        threads = [threading.Thread(target=take, args=(wanted,)) for wanted in (None, Kind.SYNC)]
        for number, thread in enumerate(threads):
            thread.start()
            with ledger.changed:
                ledger.changed.wait_for(lambda number=number: len(ledger.waiting) > number)  # type: ignore[misc]
        ledger.stock.connecting = 1
        ledger.connected("a", opened("a"))
        threads[1].join()
        assert got == {Kind.SYNC: "a"}
        ledger.stock.making += 1
        ledger.made("b")
        threads[0].join()
        assert got == {Kind.SYNC: "a", None: "b"}

    def test_what_cannot_be_connected_to_is_ready_and_let_be_until_somebody_wants_it(self) -> None:
        ledger = Ledger(Options())
        ledger.want(Kind.SYNC)
        ledger.stock.connecting = 1
        ledger.connected("a", None)
        assert (ledger.stock.wanted, ledger.stock.connecting) == (None, 0)
        assert ledger.take(Kind.SYNC) == ("a", None)

    def test_what_is_kept_or_not_taken_is_not_given_back(self) -> None:
        ledger = Ledger(Options())
        ledger.stock.ready.extend(["a", "b"])
        kept, other = ledger.take()[0], ledger.take()[0]
        ledger.stock.kept.add(kept)
        for name in (kept, other, other, "unknown"):
            ledger.give_back(name)
        assert list(ledger.stock.returned) == [other]
        assert ledger.stock.everything() == [other]

    def test_closing_ends_the_waiting(self) -> None:
        ledger = Ledger(Options())
        failures: list[ClientError] = []

        def call() -> None:
            try:
                ledger.call(lambda _: None)
            except ClientError as error:
                failures.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        with ledger.changed:
            ledger.changed.wait_for(lambda: len(ledger.calls) == 1)
        assert ledger.close()
        assert not ledger.close()
        thread.join()
        assert "closed" in failures[0].message


class TestExplained:
    def test_a_lost_connection_is_the_servers_trouble(self) -> None:
        assert isinstance(explained(ClientError("server closed the connection unexpectedly")), ServerError)
        assert isinstance(explained(ClientError("terminating connection", sqlstate="57P01")), ServerError)

    def test_a_full_server_is_there_and_the_hint_says_what_to_do(self) -> None:
        told = explained(ClientError("connection failed: FATAL:  sorry, too many clients already"))
        assert isinstance(told, ClientError)
        assert "max_connections" in str(told.hint)

    def test_what_else_goes_wrong_is_told_as_it_is(self) -> None:
        for error in (ClientError("no", sqlstate="42501"), KeyError("x")):
            assert explained(error) is error
