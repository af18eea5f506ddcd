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
from pg_ephemeral.errors import ServerError
from pg_ephemeral.shared_server import Member, join, visit
from pg_ephemeral.shared_server.messages import encode
from pg_ephemeral.shared_server.place import Place
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


@pytest.mark.parametrize("ready", [False, True])
def test_a_holder_whose_lock_goes_after_its_connections_is_no_holder(runtime: Path, ready: bool):
    """In which order they go when it is killed is the kernel's business."""
    (real,) = _members(1)
    facts = real.facts.to_json()
    real.close()
    holder = Place(runtime / "pg-ephemeral-shared-late")

    def die() -> None:
        connection, _ = holder.listener.accept()
        if ready:
            connection.sendall(encode({"ready": facts, "pid": os.getpid()}))
            entered.wait(30)
        holder.listener.close()
        connection.close()
        threading.Timer(0.2, os.close, (holder._lock,)).start()

    entered = threading.Event()
    thread = threading.Thread(target=die)
    thread.start()
    if ready:
        member = visit(holder.directory)
        assert member is not None
        entered.set()
        thread.join()
        member.close()
    else:
        with pytest.raises(ServerError, match="ended before the server was ready"):
            visit(holder.directory)
        thread.join()
    assert not holder.directory.exists()


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
