"""Members of one server: who waits for its end, and what is left when a holder is killed."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral.definition import Definition
from pg_ephemeral.shared_server import Member, join
from support.project import eventually

_MEMBERS = 8
_REPEATS = 3


@pytest.fixture
def runtime(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where directories of holders are."""
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    # The paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="pge-") as directory:
        Path(directory).chmod(0o711)
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)
        assert list(Path(directory).iterdir()) == []


def _members(count: int) -> list[Member]:
    run = secrets.token_hex(8)
    return [join(Definition().with_backend("embedded"), run=run) for _ in range(count)]


def test_when_the_last_of_many_has_left_the_server_is_gone(runtime: Path):
    for _ in range(_REPEATS):
        members = _members(_MEMBERS)
        log = members[0].facts.log_file
        assert log is not None
        assert log.exists()
        together = threading.Barrier(_MEMBERS)

        def leave(member: Member, together: threading.Barrier = together) -> None:
            together.wait()
            member.close()

        threads = [threading.Thread(target=leave, args=(member,)) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not log.parent.exists()
        assert list(runtime.iterdir()) == []


def test_what_a_killed_holder_left_is_removed_by_whoever_leaves(runtime: Path):
    one, other = _members(2)
    assert one.directory.exists()
    os.kill(one.pid, signal.SIGKILL)
    eventually(lambda: not one.alive)
    one.close()
    assert not one.directory.exists()
    other.close()
    # The server's own things are its keeper's.
    eventually(lambda: not list(runtime.iterdir()))
