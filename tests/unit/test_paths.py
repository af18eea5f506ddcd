"""Which directories are taken, and which are out of reach for whoever a server runs as."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_ephemeral.paths import barrier, socket_parent

ME = os.geteuid()
SOMEBODY = 54321


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a name that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pge", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "passes"),
    [
        (0o700, ME, SOMEBODY, True),
        (0o077, ME, os.getegid(), False),
        (0o710, SOMEBODY, os.getegid(), True),
        (0o701, SOMEBODY, os.getegid(), False),
        (0o701, SOMEBODY, SOMEBODY, True),
        (0o776, SOMEBODY, SOMEBODY, False),
    ],
)
def test_a_directory_is_passed_through_by_owner_group_or_everybody(
    short: Path, mode: int, uid: int, gid: int, passes: bool
) -> None:
    closed = short / "closed"
    (closed / "below").mkdir(parents=True)
    (closed / "below").chmod(0o777)
    (short / "link").symlink_to(closed / "below")
    closed.chmod(mode)
    try:
        for path in (closed, closed / "below", closed / "below" / "not made yet", short / "link"):
            assert barrier(path, uid=uid, gid=gid) == (None if passes else closed)
    finally:
        closed.chmod(0o700)


class TestSockets:
    @pytest.fixture(autouse=True)
    def _temporary(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setenv("TMPDIR", "/tmp")

    def test_they_are_in_the_users_own_runtime_directory(self, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        assert socket_parent() == short
        assert socket_parent(ours_alone=False) == Path("/tmp")

    @pytest.mark.needs("root")
    def test_not_in_that_of_another_user(self, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.chown(short, SOMEBODY, SOMEBODY)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        assert socket_parent() == Path("/tmp")

    @pytest.mark.needs("root")
    def test_nor_in_a_temporary_one_that_is_closed_to_root(self, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("TMPDIR", str(short))
        assert socket_parent() == socket_parent(ours_alone=False) == short
        short.chmod(0o700)
        monkeypatch.setattr(tempfile, "tempdir", None)
        assert (socket_parent(), socket_parent(ours_alone=False)) == (short, Path("/tmp"))
        os.chown(short, SOMEBODY, SOMEBODY)
        assert socket_parent() == Path("/tmp")
