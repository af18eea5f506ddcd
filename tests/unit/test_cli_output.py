"""What the command line writes, and where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pg_ephemeral.cli import output
from pg_ephemeral.cli.progress_display import ProgressDisplay, closing_line, shown_progress
from pg_ephemeral.progress import ClusterStarted, Event, Finished, SeedFinished, SeedStarted, Waiting


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00 s"), (0.214, "0.21 s"), (9.99, "9.99 s"), (12.34, "12.3 s"), (60, "1 min 00 s"), (125.4, "2 min 05 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_an_error_is_a_line_with_details_under_it_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.failure("the server ended", detail="FATAL: no\nHINT: yes", hint="look above")
    captured = capsys.readouterr()
    assert captured.err == "error: the server ended\n  FATAL: no\n  HINT: yes\nhint: look above\n"
    assert captured.out == ""


def test_an_error_without_details_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.failure("no")
    assert capsys.readouterr().err == "error: no\n"


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([("Seed", "Type", "Status"), ("schema", "sql-file", "hit"), ("a", "script", "miss")])
    assert capsys.readouterr().out.splitlines() == [
        " Seed    Type      Status",
        " schema  sql-file  hit",
        " a       script    miss",
    ]


def test_json_is_indented_by_two(capsys: pytest.CaptureFixture[str]) -> None:
    output.document({"a": [1], "b": "ü"})
    assert capsys.readouterr().out == '{\n  "a": [\n    1\n  ],\n  "b": "\\u00fc"\n}\n'


_EVENTS: tuple[Event, ...] = (
    ClusterStarted(version="18.6"),
    Waiting(name="schema"),
    SeedStarted(name="schema", kind="sql-file", position=1, total=2, cached=True),
    SeedFinished(name="schema", cached=True, seconds=0.21),
    SeedStarted(name="live", kind="script", position=2, total=2, cached=False),
    SeedFinished(name="live", cached=False, seconds=61),
    Finished(instance="main", built=1, reused=0, replayed=1, seconds=62, booted=True),
)


def test_progress_without_a_terminal_is_plain_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=False) as progress:
        for event in _EVENTS:
            progress(event)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "making an empty cluster, PostgreSQL 18.6 …",
        "waiting for another process, which is making schema …",
        "[1/2] schema (sql-file) …",
        "[1/2] schema built in 0.21 s",
        "[2/2] live (script) …",
        "[2/2] live replayed in 1 min 01 s",
        "main: ready in 1 min 02 s (1 built, 1 replayed)",
    ]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True) as progress:
        for event in _EVENTS:
            progress(event)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("built", "reused", "replayed", "booted", "line"),
    [
        (0, 0, 0, True, "app: ready in 0.05 s (no seeds)"),
        (2, 3, 1, True, "app: ready in 0.05 s (2 built, 3 reused, 1 replayed)"),
        (0, 3, 0, False, "app: cache populated in 0.05 s (3 reused)"),
    ],
)
def test_the_closing_line_says_what_was_done(built: int, reused: int, replayed: int, booted: bool, line: str) -> None:
    event = Finished(instance="app", built=built, reused=reused, replayed=replayed, seconds=0.05, booted=booted)
    assert closing_line(event) == line


def test_a_display_is_closed_twice_without_harm() -> None:
    display = ProgressDisplay(None)
    display.close()
    display.close()


def _run(code: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom pg_ephemeral.cli import output, run\n{code}"],
        env=environment,
        timeout=60,
        **streams,
    )
    return done


@pytest.mark.parametrize("arguments", [["--version"], ["help"], ["cache", "--help"]], ids=" ".join)
def test_a_reader_that_goes_away_ends_us_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _run(f"sys.exit(run({arguments!r}))", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("wb") as full:
        done = _run("sys.exit(run(['help']))", stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"error: cannot write to stdout: No space left on device\n")


def test_without_stderr_there_are_no_diagnostics_and_no_failure() -> None:
    done = _run("import os; os.close(2); output.diagnostic('gone'); output.data(b'data')", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"data")
