"""What of the server and the disk is a worker's own."""

from __future__ import annotations

import pytest

from pg_ephemeral.pytest_plugin.options import Options


def _options(**given: int) -> Options:
    return Options(**{"ready": 2, "keep": 0, "minutes": 30.0, **given})  # type: ignore[arg-type] # they are numbers


@pytest.mark.parametrize(
    ("connections", "workers", "own"),
    [(100, 1, 4), (100, 8, 3), (100, 12, 2), (100, 25, 1), (100, 26, 0), (20, 2, 2), (20, 8, 0), (5000, 100, 4)],
)
def test_all_workers_together_leave_connections_to_tests(connections: int, workers: int, own: int):
    pool = _options().pool(worker="gw0", workers=workers, connections=connections)
    assert pool.connections == own
    assert own * workers <= connections // 4
    # Where there are too few to keep any, databases are made when they are asked for.
    assert pool.ready == (2 if own else 0)


def test_numbers_that_are_given_are_for_all_workers_together():
    pool = _options(connections=20, disk=900).pool(worker="gw7", workers=4, connections=100)
    assert (pool.connections, pool.disk, pool.processes) == (5, 225, 4)
    assert pool.prefix == "test_gw7"


def test_without_workers_everything_is_this_process_s():
    pool = _options(disk=900).pool(worker="", workers=1, connections=100)
    assert (pool.connections, pool.disk, pool.processes, pool.prefix) == (4, 900, 1, "test")
