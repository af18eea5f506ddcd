"""Which lines of a server's log are of a test."""

from __future__ import annotations

from pathlib import Path

from pg_ephemeral.pytest_plugin.server_log import LogPart, lines_of

_LOG = """\
2026-01-02 03:04:05.678 UTC [11] test_1 ERROR:  column "x" does not exist at character 8
2026-01-02 03:04:05.678 UTC [11] test_1 STATEMENT:  SELECT
\tx
2026-01-02 03:04:05.679 UTC [12] test_2 ERROR:  another one's
\ttoo
2026-01-02 03:04:05.680 UTC [13]  LOG:  checkpoint starting: immediate force wait
2026-01-02 03:04:05.681 CET [11] test_1 LOG:  done
"""


def test_lines_of_a_database_with_what_goes_on_from_them():
    assert lines_of(_LOG, {"test_1"}) == [
        '2026-01-02 03:04:05.678 UTC [11] test_1 ERROR:  column "x" does not exist at character 8',
        "2026-01-02 03:04:05.678 UTC [11] test_1 STATEMENT:  SELECT",
        "\tx",
        "2026-01-02 03:04:05.681 CET [11] test_1 LOG:  done",
    ]
    assert lines_of(_LOG, {"test_2"})[1:] == ["\ttoo"]
    assert lines_of(_LOG, {"test_1", "test_2"}) == [line for line in _LOG.splitlines() if "checkpoint" not in line]
    assert lines_of(_LOG, {"test"}) == []


def test_all_lines_when_they_cannot_be_told_apart():
    assert lines_of(_LOG, None) == _LOG.splitlines()


def test_our_own_marks_are_nobody_s_lines():
    marked = _LOG + "2026-01-02 03:04:05.690 UTC [14] postgres LOG:  pg-ephemeral mark 0123456789abcdef\n"
    assert lines_of(marked, None) == _LOG.splitlines()


def test_of_many_lines_the_last_are_shown():
    shown = lines_of("".join(f"line {number}\n" for number in range(100)), None)
    assert shown[0] == "... 60 lines before"
    assert shown[1:] == [f"line {number}" for number in range(60, 100)]


def test_a_part_begins_where_the_log_ended(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("before\n")
    part = LogPart.from_here(log)
    with log.open("a") as file:
        file.write("after\n")
    assert part.text() == "after\n"


def test_a_log_that_is_gone_is_empty(tmp_path: Path):
    part = LogPart.from_here(tmp_path / "log")
    assert part.text() == ""


def test_of_a_log_that_grew_huge_the_end_is_read(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("")
    part = LogPart.from_here(log)
    log.write_text("x" * 1_000_000 + "\nlast\n")
    assert len(part.text()) < 300_000
    assert part.text().endswith("\nlast\n")
