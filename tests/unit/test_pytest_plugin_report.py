"""The lines at the end of a run, and how they travel from a worker to the controller."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pg_ephemeral.pytest_plugin.report import KeptDatabase, RunReport, milliseconds, summary
from pg_ephemeral.shared_server import Kept

_HOLDER = Kept(pid=4711, directory=Path("/run/x/pg ephemeral"), minutes=30.0)


def _report(*waits: float, seconds: float = 0.5, built: int = 0, kept: tuple[KeptDatabase, ...] = ()) -> RunReport:
    return RunReport(
        version="18.1",
        seconds=seconds,
        built=built,
        reused=2,
        replayed=0,
        waits=waits,
        kept=kept,
        holder=_HOLDER if kept else None,
    )


def test_one_process():
    assert list(summary([_report(0.001, 0.003, 0.25, built=1)])) == [
        "PostgreSQL 18.1: ready in 0.50 s (1 built, 2 reused)",
        "3 databases, waited for 3.0 ms (median), 250 ms (most)",
    ]


def test_a_server_without_databases_of_tests():
    assert list(summary([_report()])) == ["PostgreSQL 18.1: ready in 0.50 s (2 reused)"]


def test_workers_are_added_up_and_the_longest_boot_counts():
    assert list(summary([_report(0.001, seconds=0.5), _report(0.002, 1.5, seconds=2)])) == [
        "PostgreSQL 18.1: ready in 2.00 s (2 reused)",
        "3 databases in 2 workers, waited for 2.0 ms (median), 1.50 s (most)",
    ]


def test_what_is_kept():
    kept = KeptDatabase(test="test_a.py::test_b[x y]", fixture="pg_database", database="test_1")
    lines = list(summary([_report(0.1), _report(0.1, kept=(kept,))]))
    assert lines[2:] == [
        "kept for 30 minutes, or until kill 4711:",
        "  test_a.py::test_b[x y] (pg_database)",
        f"    {sys.executable} -m pg_ephemeral.pytest_plugin.attach '/run/x/pg ephemeral' test_1",
    ]


def test_a_report_travels_as_json():
    kept = KeptDatabase(test="test_a.py::test_b", fixture="pg_database", database="test_1")
    for report in (_report(), _report(0.5, 0.25, kept=(kept,))):
        assert RunReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00049, "0.5 ms"), (0.0094, "9.4 ms"), (0.0351, "35 ms"), (0.9994, "999 ms"), (1.2, "1.20 s")],
)
def test_times_are_as_exact_as_one_can_use(seconds: float, text: str):
    assert milliseconds(seconds) == text
