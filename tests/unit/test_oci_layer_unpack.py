"""Unpacking a layer that somebody else made: every form that is accepted, and everything that must not be."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pg_ephemeral.errors import CacheError, RegistryError
from pg_ephemeral.oci.model import OCI_LAYER_GZIP, Descriptor, describe
from pg_ephemeral.oci.reference import Algorithm, Digest
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.unpack import Destination, unpack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def entry(name: str, content: bytes = b"", **members: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o600
    for member, value in members.items():
        setattr(info, member, value)
    return info, content


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def digest(data: bytes) -> Digest:
    return Digest(algorithm=Algorithm(text="sha256"), hex=hashlib.sha256(data).hexdigest())


def receive(plain: bytes, target: Path, *, compressed: bytes | None = None) -> Descriptor:
    data = plain if compressed is None else compressed
    layer = describe(OCI_LAYER_GZIP, data)
    target.mkdir(exist_ok=True)
    unpack(io.BytesIO(data), layer, Destination(directory=target, prefix="v/data", modified=10**18), digest(plain))
    return layer


def _several_members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[start : start + 1000]) for start in range(0, len(data), 1000))


@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        gzip.compress,
        _several_members,
        zstd.compress,
        lambda data: zstd.compress(data[:99]) + zstd.compress(data[99:]),
    ],
    ids=["plain", "gzip", "gzip of several members", "zstd", "zstd of several frames"],
)
def test_every_usual_compression_is_read(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    big = os.urandom(2_000_000)
    plain = tar(entry("v/data/a", b"one"), entry("v/data/d/b", big))
    receive(plain, tmp_path / "there", compressed=compress(plain))
    assert (tmp_path / "there/a").read_bytes() == b"one"
    assert (tmp_path / "there/d/b").read_bytes() == big


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_usual_tar_is_read(form: int, tmp_path: Path) -> None:
    long = "/".join(
        ["v/data", *(["directory" * 6] * 2 if form == tarfile.USTAR_FORMAT else ["directory" * 9] * 4), "file"]
    )
    receive(tar(entry("./v/data/a", b"1"), entry(long, b"2"), form=form), tmp_path / "there")
    assert (tmp_path / "there" / Path(long).relative_to("v/data")).read_bytes() == b"2"


def test_owners_modes_and_times_are_ours(tmp_path: Path) -> None:
    receive(
        tar(entry("v/data/a", b"1", mode=0o777, uid=0, mtime=5), entry("v/data/d", type=tarfile.DIRTYPE, mode=0o755)),
        tmp_path,
    )
    status = (tmp_path / "a").stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_mtime_ns) == (0o600, os.geteuid(), 10**18)
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700


def test_a_hard_link_within_is_made(tmp_path: Path) -> None:
    receive(tar(entry("v/data/a", b"1"), entry("v/data/b", type=tarfile.LNKTYPE, linkname="v/data/a")), tmp_path)
    assert (tmp_path / "b").samefile(tmp_path / "a")


def test_a_file_that_is_shared_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "parent").write_bytes(b"sealed")
    (tmp_path / "there").mkdir()
    os.link(tmp_path / "parent", tmp_path / "there/a")
    receive(tar(entry("v/data/a", b"new")), tmp_path / "there")
    assert (tmp_path / "parent").read_bytes() == b"sealed"
    assert (tmp_path / "there/a").read_bytes() == b"new"


def lower(root: Path) -> Path:
    for name in ("d/old", "d/e/old", "f"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"lower")
    return root


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_whiteout_removes_what_is_below_whether_file_or_directory(tmp_path: Path) -> None:
    receive(tar(entry("v/data/.wh.f"), entry("v/data/d/.wh.e"), entry("v/data/.wh.absent")), lower(tmp_path))
    assert names(tmp_path) == {"d/old"}


@pytest.mark.parametrize("first", [True, False], ids=["before its siblings", "after them"])
def test_an_opaque_directory_shows_only_what_this_layer_holds(first: bool, tmp_path: Path) -> None:
    opaque, new = entry("v/data/d/.wh..wh..opq"), entry("v/data/d/e/new", b"n")
    receive(tar(*((opaque, new) if first else (new, opaque))), lower(tmp_path))
    assert names(tmp_path) == {"f", "d/e/new"}


def test_a_whiteout_leaves_alone_what_its_own_layer_holds(tmp_path: Path) -> None:
    receive(
        tar(entry("v/data/d/new", b"n"), entry("v/data/.wh.d"), entry("v/data/.wh.f"), entry("v/data/f", b"n")),
        lower(tmp_path),
    )
    assert names(tmp_path) == {"d/new", "f"}
    assert (tmp_path / "f").read_bytes() == b"n"


def test_a_file_takes_the_place_of_a_directory_and_the_other_way_round(tmp_path: Path) -> None:
    receive(tar(entry("v/data/d", b"file"), entry("v/data/f/g", b"inside")), lower(tmp_path))
    assert names(tmp_path) == {"d", "f/g"}


HOSTILE = {
    "absolute": [entry("/etc/passwd", b"x")],
    "absolute though inside": [entry("/v/data/x", b"x")],
    "upwards": [entry("v/data/../../x", b"x")],
    "upwards and back": [entry("v/data/../data/x", b"x")],
    "beside the directory": [entry("v/database/x", b"x")],
    "another directory": [entry("etc/x", b"x")],
    "a file above the directory": [entry("v", b"x")],
    "a file in the directory's place": [entry("v/data", b"x")],
    "symbolic link": [entry("v/data/x", type=tarfile.SYMTYPE, linkname="a")],
    "symbolic link to be written through": [
        entry("v/data/d", type=tarfile.SYMTYPE, linkname="/tmp"),
        entry("v/data/d/x", b"x"),
    ],
    "the directory itself as a link": [entry("v/data", type=tarfile.SYMTYPE, linkname="/tmp")],
    "hard link to the outside": [entry("v/data/x", type=tarfile.LNKTYPE, linkname="etc/passwd")],
    "hard link upwards": [entry("v/data/x", type=tarfile.LNKTYPE, linkname="v/data/../../../etc/passwd")],
    "absolute hard link": [entry("v/data/x", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "hard link to nothing": [entry("v/data/x", type=tarfile.LNKTYPE, linkname="v/data/y")],
    "hard link to itself": [entry("v/data/f", type=tarfile.LNKTYPE, linkname="v/data/f")],
    "hard link to a directory": [entry("v/data/x", type=tarfile.LNKTYPE, linkname="v/data/d")],
    "character device": [entry("v/data/x", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block device": [entry("v/data/x", type=tarfile.BLKTYPE, devmajor=8)],
    "fifo": [entry("v/data/x", type=tarfile.FIFOTYPE)],
    "set-user-ID": [entry("v/data/x", b"x", mode=0o4755)],
    "set-group-ID": [entry("v/data/x", type=tarfile.DIRTYPE, mode=0o2755)],
    "a name too long": [entry("v/data/" + "n" * 256, b"x")],
    "a path too long": [entry("v/data/" + "n/" * 600 + "x", b"x")],
    "a path too deep": [entry("v/data/" + "n/" * 500 + "x", b"x")],
    "a whiteout of the directory above": [entry("v/data/d/.wh...", b"")],
    "a whiteout of nothing": [entry("v/data/.wh.", b"")],
    "a whiteout outside": [entry("v/.wh.data", b"")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_could_do_harm_is_refused_naming_layer_and_entry(case: str, tmp_path: Path) -> None:
    members = HOSTILE[case]
    plain = tar(*members)
    before = names(lower(tmp_path / "there"))
    with pytest.raises(RegistryError) as caught:
        receive(plain, tmp_path / "there")
    assert caught.value.state == State.CORRUPT
    assert str(describe(OCI_LAYER_GZIP, plain).digest) in caught.value.message
    assert names(tmp_path) == {f"there/{name}" for name in before}


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    plain = tar(
        entry(
            "v/data/x", b"x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}
        )
    )
    with pytest.raises(RegistryError, match="layer sha256"):
        receive(plain, tmp_path / "there")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("./PaxHeaders/x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    with pytest.raises(RegistryError, match="a header of 1073741824 bytes"):
        receive(header.tobuf(), tmp_path / "there")


def damaged_gzip(plain: bytes) -> bytes:
    whole = gzip.compress(plain)
    return whole[:-4] + bytes(4)


@pytest.mark.parametrize(
    ("compressed", "why"),
    [
        (lambda plain: gzip.compress(plain)[:-2000], "cannot be decompressed"),
        (lambda plain: zstd.compress(plain)[:-2000], "cannot be decompressed"),
        (damaged_gzip, "cannot be decompressed"),
        (lambda plain: plain[:100_000], "ends after"),
        (lambda plain: plain[:300], "not a tar"),
        (lambda _: b"<html>no such layer</html>" * 100, "not a tar"),
        (lambda plain: plain + b"more", "digest"),
        (lambda _: tar(entry("v/data/b", b"other")), "digest"),
    ],
    ids=["cut gzip", "cut zstd", "wrong checksum", "cut tar", "cut header", "something else", "more of it", "another"],
)
def test_a_damaged_layer_is_refused(compressed: Callable[[bytes], bytes], why: str, tmp_path: Path) -> None:
    plain = tar(entry("v/data/a", os.urandom(200_000)))
    with pytest.raises(RegistryError, match=why) as caught:
        receive(plain, tmp_path / "there", compressed=compressed(plain))
    assert caught.value.state == State.CORRUPT


def test_a_directory_that_cannot_be_written_is_no_fault_of_the_layer(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("in the way")
    plain = tar(entry("v/data/a", b"x"))
    with pytest.raises(CacheError, match="there") as caught:
        unpack(
            io.BytesIO(plain),
            describe(OCI_LAYER_GZIP, plain),
            Destination(directory=tmp_path / "there", prefix="v/data", modified=0),
            digest(plain),
        )
    assert not isinstance(caught.value, RegistryError)
