"""The lines at the end of a run, and how they travel from a worker to the controller."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pg_ephemeral.pytest_plugin.report import Copying, KeptDatabase, RunReport, milliseconds, summary
from pg_ephemeral.shared_server import Boot, Kept

_NOTHING = Copying()
_HOLDER = Kept(pid=4711, directory=Path("/run/x/pg ephemeral"), minutes=30.0)


def _report(
    *waits: float,
    seconds: float = 0.5,
    stages: tuple[tuple[str, float], ...] = (),
    token: str = "a",
    worker: str = "",
    copying: Copying = _NOTHING,
    kept: tuple[KeptDatabase, ...] = (),
) -> RunReport:
    return RunReport(
        token=token,
        version="18.1",
        boot=Boot(seconds=seconds, built=len(stages), reused=2, replayed=0, stages=stages),
        worker=worker,
        waits=waits,
        copying=copying,
        kept=kept,
        holder=_HOLDER if kept else None,
    )


def test_one_process():
    report = _report(
        0.001,
        0.003,
        0.25,
        stages=(("schema", 0.25),),
        copying=Copying(template=0.1, copies=4, seconds=0.14, strategy="file_copy"),
    )
    assert list(summary([report])) == [
        "PostgreSQL 18.1: ready in 0.50 s (1 built, 2 reused)",
        "built: schema 250 ms",
        "3 databases, waited for 3.0 ms (median), 250 ms (most)",
        "copied 4 times, 35 ms each with file_copy; the template took 100 ms",
    ]


def test_a_server_without_databases_of_tests():
    assert list(summary([_report()])) == ["PostgreSQL 18.1: ready in 0.50 s (2 reused)"]


def test_the_slowest_stages_are_named():
    stages = (("one", 0.1), ("two", 3.0), ("three", 0.2), ("four", 1.0), ("five", 0.1))
    assert list(summary([_report(stages=stages)]))[1] == "built: two 3.00 s, four 1.00 s, three 200 ms, and 2 more"


def test_workers_are_added_up():
    one = _report(0.001, worker="gw0", copying=Copying(template=0.5, copies=2, seconds=0.2, strategy="clone"))
    other = _report(0.002, 1.5, worker="gw1", copying=Copying(template=0.1, copies=1, seconds=0.1, strategy="wal_log"))
    idle = _report(worker="gw2")
    assert list(summary([one, other, idle])) == [
        "PostgreSQL 18.1: ready in 0.50 s (2 reused)",
        "3 databases in 2 workers, waited for 2.0 ms (median), 1.50 s (most)",
        "copied 3 times, 100 ms each with clone, wal_log; the template took 500 ms",
    ]


def test_every_server_is_reported_with_the_workers_it_had():
    first = [_report(0.1, token="a", worker=worker) for worker in ("gw0", "gw1", "gw1")]
    second = [_report(0.2, token="b", worker="gw0", seconds=2)]
    assert list(summary([*first, *second])) == [
        "PostgreSQL 18.1: ready in 0.50 s (2 reused)",
        "3 databases in 2 workers, waited for 100 ms (median), 100 ms (most)",
        "PostgreSQL 18.1: ready in 2.00 s (2 reused)",
        "1 database, waited for 200 ms (median), 200 ms (most)",
    ]


def test_what_is_kept():
    kept = KeptDatabase(test="test_a.py::test_b[x y]", fixture="pg_database", database="test_1")
    lines = list(summary([_report(0.1, worker="gw0"), _report(0.1, worker="gw1", kept=(kept,))]))
    assert lines[2:] == [
        "kept for 30 minutes, or until kill 4711:",
        "  test_a.py::test_b[x y] (pg_database)",
        f"    {sys.executable} -m pg_ephemeral.pytest_plugin.attach '/run/x/pg ephemeral' test_1",
    ]


def test_a_report_travels_as_json():
    kept = KeptDatabase(test="test_a.py::test_b", fixture="pg_database", database="test_1")
    copying = Copying(template=0.5, copies=2, seconds=0.2, strategy="clone")
    full = _report(0.5, 0.25, stages=(("one", 0.1),), worker="gw0", copying=copying, kept=(kept,))
    for report in (_report(), full):
        assert RunReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00049, "0.5 ms"), (0.0094, "9.4 ms"), (0.0351, "35 ms"), (0.9994, "999 ms"), (1.2, "1.20 s")],
)
def test_times_are_as_exact_as_one_can_use(seconds: float, text: str):
    assert milliseconds(seconds) == text
