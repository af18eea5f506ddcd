"""What is remembered of a project's last boot: a guess, which nothing depends on."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pg_ephemeral.backends.engine.memory import Memory


def test_each_project_has_its_own(tmp_path: Path) -> None:
    one, other = Memory(tmp_path / "last", "one"), Memory(tmp_path / "last", "other")
    assert one.recall() == ()
    one.note(("a:1", "a:2"))
    other.note(("b:1",))
    assert (one.recall(), other.recall()) == (("a:1", "a:2"), ("b:1",))
    one.note(("a:3",))
    assert Memory(tmp_path / "last", "one").recall() == ("a:3",)


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    Memory(tmp_path, "one").note(("a",))
    (path,) = tmp_path.iterdir()
    before = path.stat()
    Memory(tmp_path, "one").note(("a",))
    assert path.stat().st_ino == before.st_ino


def test_what_nobody_asks_for_is_forgotten(tmp_path: Path) -> None:
    Memory(tmp_path, "old").note(("a",))
    (path,) = tmp_path.iterdir()
    os.utime(path, (time.time() - 31 * 86_400,) * 2)
    Memory(tmp_path, "new").note(("b",))
    assert not path.exists()
    assert Memory(tmp_path, "new").recall() == ("b",)


def test_where_it_cannot_be_kept_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "last").write_text("in the way")
    memory = Memory(tmp_path / "last", "one")
    memory.note(("a",))
    assert memory.recall() == ()
    memory = Memory(tmp_path, "two")
    memory.note(("a",))
    next(path for path in tmp_path.iterdir() if path.name != "last").write_bytes(b"\xff")
    assert memory.recall() == ()
