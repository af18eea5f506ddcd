"""The lock between processes: one holder, one word about waiting, and release when the holder is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pg_ephemeral.errors import CacheError
from pg_ephemeral.lock import exclusive, turns, undisturbed

HOLDER = """
import sys
from pathlib import Path
from pg_ephemeral.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_free_lock_is_had_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    with exclusive(tmp_path / "deep" / "lock", waiting=lambda: said.append("waiting")):
        pass
    assert said == []


def test_whoever_had_it_since_a_look_is_noticed_without_a_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    seen = turns(path)
    with exclusive(path) as before:
        assert undisturbed(seen, before), "nobody had it"
        during = turns(path)
    with exclusive(path) as before:
        assert not undisturbed(seen, before), "looked before that turn"
        assert not undisturbed(during, before), "looked while it lasted"
    seen = turns(path)
    with exclusive(path) as before:
        assert undisturbed(seen, before), "looked after all of them"
    assert path.stat().st_blocks == 0


# fault: W22
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_holder_lets_go(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    waits, said = threading.Event(), []

    def waiting() -> None:
        said.append("waiting")
        waits.set()

    def kill() -> None:
        assert waits.wait(20)
        holder.send_signal(number)

    thread = threading.Thread(target=kill)
    thread.start()
    seen = turns(path)
    with exclusive(path, waiting=waiting) as before:
        assert not undisturbed(seen, before)
    thread.join()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert said == ["waiting"]
    seen = turns(path)
    with exclusive(path) as before:
        assert undisturbed(seen, before), "the turn after one that was cut short is a turn like any"


def test_an_unusable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="file") as caught, exclusive(tmp_path / "file" / "lock"):
        pass
    assert "PG_EPHEMERAL_CACHE_DIR" in (caught.value.hint or "")


def test_the_lock_is_not_inherited_by_programs(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"):
        child = subprocess.Popen(["sleep", "300"])
    said: list[str] = []
    with exclusive(tmp_path / "lock", waiting=lambda: said.append("waiting")):
        assert said == []
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
