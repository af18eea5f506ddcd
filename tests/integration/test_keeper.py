"""The keeper of a server, with programs that are no PostgreSQL: orders, reports, and an early end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from pg_ephemeral.postgres.account import Account
from pg_ephemeral.postgres.keeper import Keeper
from support.processes import alive, pid_in

#: Ignores SIGQUIT for a while, as every program does that a shell starts in the background, then ends on it.
LATE = """
import os, signal, sys, time
if len(sys.argv) > 1:
    with open(sys.argv[1], "w") as file:
        print(os.getpid(), file=file)
time.sleep(0.4)
signal.signal(signal.SIGQUIT, lambda *_: sys.exit(7))
while True:
    signal.pause()
"""


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    run, sockets = tmp_path / "run", tmp_path / "sockets"
    run.mkdir()
    sockets.mkdir()
    return {"log": run / "log", "run": run, "sockets": sockets}


def keep(program: str, places: dict[str, Path], *arguments: str) -> Keeper:
    return Keeper((sys.executable, "-c", program, *arguments), account=Account(), environment={}, **places)


def test_an_order_to_quit_is_heard_however_early_it_comes(places: dict[str, Path]) -> None:
    keeper = keep(LATE, places)
    keeper.quit()
    assert keeper.ended(within=0.0)
    keeper.dismiss(clean_up=False)
    assert places["run"].exists()


def test_an_owner_that_ends_early_leaves_nothing(places: dict[str, Path], tmp_path: Path) -> None:
    keeper = keep(LATE, places, str(tmp_path / "pid"))
    pid = pid_in(tmp_path / "pid")
    began = time.monotonic()
    keeper.dismiss(clean_up=True)
    assert not alive(pid), f"it still runs after {time.monotonic() - began:.1f} s"
    assert not places["run"].exists()
    assert not places["sockets"].exists()


def test_a_server_that_ends_by_itself_is_reported_at_once(places: dict[str, Path]) -> None:
    keeper = keep("import sys; print('last words', file=sys.stderr); sys.exit(3)", places)
    assert keeper.ended(within=20.0)
    assert places["log"].read_text() == "last words\n"
    keeper.quit()  # to nobody, which is no error
    keeper.dismiss(clean_up=True)
    assert not places["run"].exists()
