"""Layers: what changed between two directories, as a tar and back; the same bytes every time."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pg_ephemeral.errors import CacheError
from pg_ephemeral.oci.changeset import Changeset, difference
from pg_ephemeral.oci.layer import Packed, Placement, pack
from pg_ephemeral.oci.unpack import Destination, unpack

PLACEMENT = Placement(prefix="var/lib/thing", uid=999, gid=998, modified=1_000_000)


def populate(root: Path, files: dict[str, bytes | None]) -> None:
    """None is an empty directory."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        if content is None:
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def content(root: Path) -> dict[str, bytes | None]:
    found = root.rglob("*")
    return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in found}


def packed(root: Path, before: Path | None = None) -> tuple[bytes, Packed]:
    target = io.BytesIO()
    result = pack(root, difference(root, before), target, PLACEMENT)
    return target.getvalue(), result


def apply(data: bytes, result: Packed, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    destination = Destination(directory=directory, prefix=PLACEMENT.prefix, modified=10**18)
    unpack(io.BytesIO(data), result.descriptor, destination, result.diff_id)


def entries(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


_NAMES = st.sampled_from(["a", "b", "wh", "ü"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_CONTENT = st.one_of(st.none(), st.binary(max_size=40), st.just(bytes(70_000)), st.just(b"x" * 1_100_000))


def _possible(files: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Without what lies below a file."""
    blocked = {path for path, data in files.items() if data is not None}
    above = {path: {path[:i] for i, c in enumerate(path) if c == "/"} for path in files}
    kept = {path: data for path, data in files.items() if not above[path] & blocked}
    return {p: d for p, d in kept.items() if not (d is None and any(other.startswith(f"{p}/") for other in kept))}


_TREES = st.dictionaries(_PATHS, _CONTENT, max_size=6).map(_possible)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(before=_TREES, after=_TREES)
def test_a_changeset_applied_to_what_was_gives_what_is(
    before: dict[str, bytes | None], after: dict[str, bytes | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("layers")
    populate(root / "before", before)
    populate(root / "after", after)
    for origin, layer in ((None, "before"), (root / "before", "after")):
        apply(*packed(root / layer, origin), root / "there")
        assert content(root / "there") == content(root / layer)


def test_the_same_files_are_the_same_bytes_whatever_their_times_and_order(tmp_path: Path) -> None:
    files = {"b/2": b"two" * 1000, "a/1": b"one", "c": None, "big": os.urandom(3_000_000)}
    populate(tmp_path / "one", files)
    populate(tmp_path / "other", dict(reversed(files.items())))
    os.utime(tmp_path / "other/a/1", ns=(5, 5))
    (tmp_path / "other/b/2").chmod(0o644)
    assert packed(tmp_path / "one") == packed(tmp_path / "other")


def test_an_entry_says_what_was_asked_for_and_nothing_of_this_machine(tmp_path: Path) -> None:
    populate(tmp_path / "root", {"base/1/17": b"x"})
    *above, prefix, first, second, file = entries(packed(tmp_path / "root")[0])
    assert [one.name for one in above] == ["var", "var/lib"]
    assert [one.name for one in (prefix, first, second, file)] == [
        "var/lib/thing",
        "var/lib/thing/base",
        "var/lib/thing/base/1",
        "var/lib/thing/base/1/17",
    ]
    assert {(one.uid, one.gid, one.mtime, one.uname) for one in (prefix, first, file)} == {(999, 998, 1_000_000, "")}
    assert (prefix.mode, file.mode) == (0o700, 0o600)
    assert {(one.uid, one.mode) for one in above} == {(0, 0o755)}


def test_files_are_ordered_by_base_name_with_directories_and_whiteouts_before_them(tmp_path: Path) -> None:
    populate(tmp_path / "before", {"base/1/gone": b"", "base/9/gone": b"", "base/9/too": b""})
    populate(tmp_path / "after", {"base/2/10": b"", "base/1/20": b"", "base/1/10": b""})
    names = [
        one.name.removeprefix("var/lib/thing/") for one in entries(packed(tmp_path / "after", tmp_path / "before")[0])
    ]
    assert names[3:] == [
        "base",
        "base/1",
        "base/2",
        "base/1/.wh.gone",
        "base/.wh.9",
        "base/1/10",
        "base/2/10",
        "base/1/20",
    ]


def test_unchanged_files_are_left_out_by_link_or_by_content(tmp_path: Path) -> None:
    populate(tmp_path / "before", {"linked": b"l", "equal": b"e", "changed": b"old", "d/x": b"x"})
    populate(tmp_path / "after", {"equal": b"e", "changed": b"new", "d/x": b"x"})
    os.link(tmp_path / "before/linked", tmp_path / "after/linked")
    for directory in ("before", "after"):
        os.utime(tmp_path / directory / "changed", ns=(7, 7))  # times mean nothing
    assert difference(tmp_path / "after", tmp_path / "before") == Changeset(
        directories=(), removed=(), files=("changed",)
    )


def test_what_an_image_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    populate(tmp_path / "whiteout", {"d/.wh.x": b""})
    with pytest.raises(CacheError, match=r"d/\.wh\.x"):
        difference(tmp_path / "whiteout", None)
    populate(tmp_path / "link", {})
    (tmp_path / "link/away").symlink_to("/etc")
    with pytest.raises(CacheError, match="away"):
        difference(tmp_path / "link", None)


def test_a_file_that_shrinks_while_it_is_packed_is_noticed(tmp_path: Path) -> None:
    populate(tmp_path / "root", {"1": b"x", "2": bytes(40_000_000)})
    changes = difference(tmp_path / "root", None)

    class Shrinking(io.BytesIO):
        def write(self, data: object, /) -> int:
            if self.tell() > 10:  # after gzip's header
                os.truncate(tmp_path / "root/2", 1_500_000)
            return super().write(data)  # type: ignore[arg-type]  # whatever it is, it is passed on

    with pytest.raises(CacheError, match="root/2 became shorter"):
        pack(tmp_path / "root", changes, Shrinking(), PLACEMENT)


def test_a_full_disk_ends_it_in_one_line(tmp_path: Path) -> None:
    populate(tmp_path / "root", {"1": os.urandom(20_000_000)})
    before = threading.active_count()

    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            if self.tell() > 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]  # whatever it is, it is passed on

    with pytest.raises(CacheError, match="No space left on device"):
        pack(tmp_path / "root", difference(tmp_path / "root", None), Full(), PLACEMENT)
    assert threading.active_count() == before


def test_zeros_cost_next_to_nothing_in_the_layer_and_on_disk(tmp_path: Path) -> None:
    populate(tmp_path / "root", {"pg_wal/1": b"head" + bytes(16 << 20)})
    data, result = packed(tmp_path / "root")
    assert len(data) < 100_000
    apply(data, result, tmp_path / "there")
    assert content(tmp_path / "there") == content(tmp_path / "root")
    assert (tmp_path / "there/pg_wal/1").stat().st_blocks * 512 < 1 << 20


def test_the_layer_is_one_that_python_and_gzip_read(tmp_path: Path) -> None:
    populate(tmp_path / "root", {"big": os.urandom(2_500_000), "small": b"s"})
    data, result = packed(tmp_path / "root")
    plain = gzip.decompress(data)
    assert result.descriptor.size == len(data)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        member = archive.extractfile("var/lib/thing/big")
        assert member is not None
        assert member.read() == (tmp_path / "root/big").read_bytes()
