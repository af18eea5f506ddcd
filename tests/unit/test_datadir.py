"""Clone, restore and seal: what is shared, what is copied, what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pg_ephemeral.errors import CacheError
from pg_ephemeral.postgres.datadir import WalSegments, clone, restore, scan, seal

WAL = "000000010000000000000001"
OLD_WAL = "000000010000000000000000"
ONLY = WalSegments(first=WAL, last=WAL)


def populate(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    root = tmp_path / "sealed"
    populate(root, {"PG_VERSION": b"18\n", "base/1/100": b"x" * 8192, "base/1/101": b"", f"pg_wal/{WAL}": b"w" * 100})
    (root / "pg_notify").mkdir()
    return root


def test_a_clone_has_the_same_content_and_times(sealed: Path, tmp_path: Path) -> None:
    tree = scan(sealed)
    clone(sealed, tmp_path / "copy", tree)
    assert content(tmp_path / "copy") == content(sealed)
    assert scan(tmp_path / "copy") == tree
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "copy/PG_VERSION").samefile(sealed / "PG_VERSION")


def test_restoring_undoes_whatever_a_server_did(sealed: Path, tmp_path: Path) -> None:
    tree, copy = scan(sealed), tmp_path / "copy"
    clone(sealed, copy, tree)
    (copy / "base/1/100").write_bytes(b"y" * 16384)
    (copy / "base/1/101").write_bytes(b"longer")
    (copy / "PG_VERSION").unlink()
    populate(copy, {"base/2/200": b"new", "postmaster.pid": b"1"})
    (copy / "pg_notify").rmdir()
    untouched = (copy / f"pg_wal/{WAL}").stat().st_ino
    restore(sealed, copy, tree)
    assert content(copy) == content(sealed)
    assert scan(copy) == tree
    assert (copy / f"pg_wal/{WAL}").stat().st_ino == untouched, "what did not change is not copied"


_tree = st.dictionaries(
    st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "f/a"]), st.binary(max_size=64), min_size=1, max_size=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)  # files take their time
@given(before=_tree, after=_tree)
def test_restoring_any_tree_to_any_other_ends_equal(
    before: dict[str, bytes], after: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("restore")
    populate(root / "origin", before)
    populate(root / "working", after)
    for path in (root / "working").rglob("*"):
        os.utime(path)  # a server writes now, which is later than any stage
    restore(root / "origin", root / "working", scan(root / "origin"))
    assert content(root / "working") == before


def test_sealing_shares_what_did_not_change_and_copies_what_did(sealed: Path, tmp_path: Path) -> None:
    tree, working = scan(sealed), tmp_path / "working"
    clone(sealed, working, tree)
    (working / "base/1/100").write_bytes(b"z" * 8192)
    sealed_again = seal(working, tmp_path / "next", wal=ONLY, parent=(sealed, tree))
    assert content(tmp_path / "next") == content(working)
    assert (tmp_path / "next/PG_VERSION").samefile(sealed / "PG_VERSION")
    assert not (tmp_path / "next/base/1/100").samefile(sealed / "base/1/100")
    assert not (tmp_path / "next/base/1/100").samefile(working / "base/1/100")
    assert scan(tmp_path / "next") == sealed_again


def test_sealing_leaves_out_what_means_nothing_to_the_next_server(sealed: Path, tmp_path: Path) -> None:
    populate(
        sealed,
        {
            "postmaster.pid": b"1",
            "postmaster.opts": b"-D",
            f"pg_wal/{OLD_WAL}": b"recycled",
            "base/pgsql_tmp/pgsql_tmp1.0": b"sort",
            "pg_stat_tmp/global.stat": b"s",
            "base/1/pg_internal.init": b"kept: it makes the first connection faster",
        },
    )
    tree = seal(sealed, tmp_path / "stage", wal=ONLY, parent=None)
    assert sorted(tree.files) == [
        "PG_VERSION",
        "base/1/100",
        "base/1/101",
        "base/1/pg_internal.init",
        f"pg_wal/{WAL}",
    ]
    assert "pg_notify" in tree.directories


def test_sealing_keeps_the_log_that_replication_slots_wait_for(sealed: Path, tmp_path: Path) -> None:
    names = [f"0000000100000000000000{number:02X}" for number in (8, 9, 10, 16, 17)]
    populate(sealed, {f"pg_wal/{name}": b"log" for name in names})
    tree = seal(sealed, tmp_path / "stage", wal=WalSegments(first=names[1], last=names[3]), parent=None)
    assert sorted(path for path in tree.files if path.startswith("pg_wal/")) == [
        f"pg_wal/{name}" for name in names[1:4]
    ]


def test_a_tablespace_elsewhere_is_refused(sealed: Path, tmp_path: Path) -> None:
    (sealed / "pg_tblspc").mkdir()
    (sealed / "pg_tblspc/1234").symlink_to(tmp_path)
    with pytest.raises(CacheError, match="pg_tblspc/1234") as caught:
        scan(sealed)
    assert "tablespace" in (caught.value.hint or "")


def test_a_sealed_file_that_shrank_is_noticed(sealed: Path, tmp_path: Path) -> None:
    tree = scan(sealed)
    (sealed / "base/1/100").write_bytes(b"short")
    with pytest.raises(CacheError, match="8192 bytes holds only 5"):
        clone(sealed, tmp_path / "copy", tree)


def test_a_failed_copy_names_the_directory(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("in the way")
    with pytest.raises(CacheError, match="copy"):
        clone(sealed, tmp_path / "copy", scan(sealed))
