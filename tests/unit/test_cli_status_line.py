"""The status line shows itself, and never touches what others write."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.cli.status_line import StatusLine, draw, release, reserve
from support.terminal import Terminal

_SIZE = os.terminal_size((40, 10))

_others = st.lists(st.text(alphabet="abc .\n", max_size=30), max_size=12)


@given(before=_others, during=_others)
def test_what_others_write_is_shown_as_if_there_were_no_status_line(before: list[str], during: list[str]) -> None:
    with_line, without = Terminal(columns=400), Terminal(columns=400)
    for text in before:
        with_line.write(text)
        without.write(text)
    with_line.write(reserve(_SIZE.lines))
    for second, text in enumerate(during):
        with_line.write(draw(_SIZE, f"[1/2] schema (sql-file)  {second} s"))
        with_line.write(text)
        without.write(text)
    with_line.write(release(_SIZE.lines))
    assert with_line.screen() == without.screen()
    with_line.write("next\n")
    without.write("next\n")
    assert with_line.screen() == without.screen()


def test_it_stands_in_the_last_row() -> None:
    terminal = Terminal()
    terminal.write("one\ntwo")
    terminal.write(reserve(_SIZE.lines) + draw(_SIZE, "working  3 s"))
    assert terminal.grid[-1] == "working  3 s"
    terminal.write(" and three\n")
    assert terminal.grid[:2] == ["one", "two and three"]


def test_it_is_cut_to_the_width() -> None:
    terminal = Terminal()
    terminal.write(draw(_SIZE, "x" * 500))
    assert terminal.grid[-1] == "x" * 39


class Recorder:
    """What was written, and a way to wait for it."""

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        self.terminal = Terminal(columns, lines)
        self.size = os.terminal_size((columns, lines))
        self.drawn = threading.Semaphore(0)
        self.writes = 0

    def write(self, text: str) -> None:
        self.terminal.write(text)
        self.writes += 1
        self.drawn.release()

    def line(self, *, patience: float = 0.0, interval: float = 0.001) -> StatusLine:
        return StatusLine(write=self.write, size=lambda: self.size, patience=patience, interval=interval)


def test_it_counts_until_it_is_cleared() -> None:
    recorder = Recorder()
    line = recorder.line()
    line.show("working")
    for _ in range(3):
        assert recorder.drawn.acquire(timeout=10)
    line.clear()
    writes = recorder.writes
    assert recorder.terminal.screen() == []
    assert recorder.terminal.margins == (0, 9)
    line.clear()
    assert recorder.writes == writes


def test_a_new_text_replaces_the_old_one() -> None:
    recorder = Recorder()
    line = recorder.line(interval=60)
    line.show("first")
    assert recorder.drawn.acquire(timeout=10)
    assert recorder.terminal.grid[-1] == "first  0 s"
    line.show("second")
    assert recorder.drawn.acquire(timeout=10)  # taken away
    assert recorder.drawn.acquire(timeout=10)
    assert recorder.terminal.grid[-1] == "second  0 s"
    line.clear()


def test_quick_work_draws_nothing() -> None:
    recorder = Recorder()
    line = recorder.line(patience=60)
    line.show("working")
    line.clear()
    assert recorder.writes == 0


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_a_terminal_of_a_few_rows_is_left_alone(lines: int) -> None:
    recorder = Recorder(lines=lines)
    line = recorder.line()
    line.show("working")
    line.clear()
    assert recorder.writes == 0


def test_it_moves_when_the_terminal_is_resized() -> None:
    recorder = Recorder(lines=20)
    recorder.size = os.terminal_size((40, 10))
    line = recorder.line()
    line.show("working")
    assert recorder.drawn.acquire(timeout=10)
    recorder.size = os.terminal_size((40, 20))
    while recorder.terminal.margins != (0, 18):
        assert recorder.drawn.acquire(timeout=10)
    line.clear()
    assert recorder.terminal.screen() == []
