"""Files of a data directory: clone a sealed one, restore a used one, seal a stopped one. No server is run here.

A *sealed* data directory is never run and never written again, so sealed ones may share unchanged files by hard link.
A *working* one is a private copy. A file that has the size and the modification time (in nanoseconds) of its sealed
origin is the same file: clones carry the origin's time over, and every write by a server sets a later one.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from pg_ephemeral.errors import CacheError
from pg_ephemeral.paths import unusable

#: ioctl_ficlone(2): share the data blocks of another file, on file systems that can.
_FICLONE = 0x40049409

#: What identifies a version of a file: size in bytes, modification time in nanoseconds.
Stamp: TypeAlias = tuple[int, int]

#: No segment of the write-ahead log has a name before this one.
FIRST_SEGMENT = "0" * 24

#: How many directories are removed at a time: a disk that is told of every block that is freed answers each by itself.
_REMOVERS = 4

_CHUNK = 1 << 20
_BLOCK = 4096

#: Left behind by a stopped server and meaningless to the next.
_TRANSIENT = frozenset({"postmaster.pid", "postmaster.opts", "current_logfiles"})


class Tree(Struct, frozen=True, kw_only=True):
    """What a data directory holds, by path relative to it."""

    directories: tuple[str, ...]
    files: dict[str, Stamp]

    @property
    def size(self) -> int:
        """Bytes in its files."""
        return sum(size for size, _ in self.files.values())


class WalSegments(Struct, frozen=True, kw_only=True):
    """A stretch of the write-ahead log, by the names of its first and its last segment."""

    first: str
    last: str

    def __contains__(self, name: str) -> bool:
        return self.first <= name <= self.last


class Owner(Struct, frozen=True, kw_only=True):
    """Whom copies are given to, when that is not us."""

    uid: int
    gid: int


def scan(root: Path) -> Tree:
    """List a data directory. Raises ``CacheError`` for a tablespace or any other link that leads out of it."""
    directories: list[str] = []
    files: dict[str, Stamp] = {}
    pending = [""]
    while pending:
        relative = pending.pop()
        with os.scandir(root / relative) as entries:
            for entry in entries:
                path = f"{relative}/{entry.name}" if relative else entry.name
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    directories.append(path)
                    pending.append(path)
                elif stat.S_ISREG(status.st_mode):
                    files[path] = (status.st_size, status.st_mtime_ns)
                elif stat.S_ISLNK(status.st_mode):
                    raise CacheError(
                        f"the data directory holds a link, {path}, to {root.joinpath(path).readlink()}",
                        hint="a tablespace outside the data directory cannot be part of a stage; use "
                        "allow_in_place_tablespaces, or set the seed's cache to none",
                    )
    return Tree(directories=tuple(sorted(directories)), files=files)


def clone(source: Path, target: Path, tree: Tree, *, owner: Owner | None = None) -> None:
    """Copy the sealed ``source``, which holds ``tree``, into ``target``, which must not exist."""
    try:
        _make_directory(target, owner)
        for directory in tree.directories:
            _make_directory(target / directory, owner)
        copier = Copier(source, target, owner)
        for path, stamp in tree.files.items():
            copier.copy(path, stamp)
    except OSError as error:
        raise unusable(target, error) from error


def restore(source: Path, target: Path, tree: Tree, *, owner: Owner | None = None) -> None:
    """Make the working ``target`` equal to its sealed origin again, copying only what a server changed."""
    try:
        # Databases that were made meanwhile may hold a hundred times as many files as all the rest.
        _remove_directories(_surplus(target, tree))
        current = scan(target)
        for path in current.files.keys() - tree.files.keys():
            (target / path).unlink()
        for directory in tree.directories:
            if not (target / directory).is_dir():
                _make_directory(target / directory, owner)
        copier = Copier(source, target, owner)
        for path, stamp in tree.files.items():
            if current.files.get(path) != stamp:
                copier.copy(path, stamp)
    except OSError as error:
        raise unusable(target, error) from error


def seal(
    working: Path, target: Path, *, wal: WalSegments, parent: tuple[Path, Tree] | None, owner: Owner | None = None
) -> Tree:
    """Copy the data directory of a cleanly stopped server to ``target`` and return what that then holds.

    What means nothing to the next server is left out, and removed from ``working``, which remains fit to be started.
    Files unchanged since the sealed ``parent`` become hard links to it. Of the write-ahead log only ``wal`` is kept:
    after a clean shutdown only the segment with the last checkpoint is read, and what replication slots wait for.
    """
    try:
        everything = scan(working)
        files = {path: stamp for path, stamp in everything.files.items() if _kept(path, wal)}
        for path in everything.files.keys() - files.keys():
            # Gone from the working directory, too: a server that goes on with it would write into old log segments,
            # whose remains would then be part of the next stage.
            (working / path).unlink()
        _make_directory(target, owner)
        for directory in everything.directories:
            _make_directory(target / directory, owner)
        copier = Copier(working, target, owner)
        for path, stamp in files.items():
            shared = None if parent is None else _link(path, stamp, working, target, *parent)
            if shared is None:
                copier.copy(path, stamp)
            else:
                files[path] = shared
    except OSError as error:
        raise unusable(target, error) from error
    return Tree(directories=everything.directories, files=files)


def remove(directory: Path) -> None:
    """Remove a directory of ours, whatever is in it and whoever else removes it at the same time."""
    shutil.rmtree(directory, ignore_errors=True)


def _surplus(target: Path, tree: Tree) -> list[str]:
    """The paths of the topmost directories in ``target`` that ``tree`` does not have."""
    wanted = {"", *tree.directories}
    found = []
    for directory in wanted:
        with suppress(FileNotFoundError), os.scandir(target / directory) as entries:
            found += [
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and (f"{directory}/{entry.name}" if directory else entry.name) not in wanted
            ]
    return found


def _remove_directories(paths: list[str]) -> None:
    """Remove these with all that is in them, several at a time, for each waits for the disk. Raises ``OSError``."""
    if not paths:
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_REMOVERS) as threads:
        list(threads.map(shutil.rmtree, paths))


def _link(path: str, stamp: Stamp, working: Path, target: Path, sealed: Path, tree: Tree) -> Stamp | None:
    """Link the parent's file if it is the same as ours, by its stamp or, rewritten, by its content; return its stamp.

    None when it is another one, when somebody removed it meanwhile, or when this file system has no such links.
    """
    theirs = tree.files.get(path)
    if theirs is None or theirs[0] != stamp[0]:
        return None
    with suppress(OSError):
        if theirs == stamp or filecmp.cmp(working / path, sealed / path, shallow=False):
            os.link(sealed / path, target / path)
            return theirs
    return None


def _kept(path: str, wal: WalSegments) -> bool:
    head, _, name = path.rpartition("/")
    if head == "pg_wal":
        return name in wal
    if "pgsql_tmp" in path or head == "pg_stat_tmp":
        return False
    return path not in _TRANSIENT


def _make_directory(path: Path, owner: Owner | None) -> None:
    path.mkdir(mode=0o700)
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)


class Copier:
    """Copies files from one tree to another by the cheapest means the file system has, keeping their times."""

    def __init__(self, source: Path, target: Path, owner: Owner | None) -> None:
        self._source = f"{source}/"
        self._target = f"{target}/"
        self._owner = owner
        self._reflink = sys.platform == "linux"

    def copy(self, path: str, stamp: Stamp) -> None:
        """Copy one file, which must still be as ``stamp`` says in the source, over what the target may have there.

        An existing copy is overwritten in place: where files were just deleted, making new ones may be slower by a
        factor of ten and more (docs/decisions/0005).
        """
        size, modified = stamp
        origin = os.open(self._source + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy = os.open(self._target + path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if path.startswith("pg_wal/"):
                    _fill_without_zeros(origin, copy)
                elif size:
                    self._fill(origin, copy, size)
                if os.fstat(copy).st_size != size:
                    os.ftruncate(copy, size)
                if self._owner is not None:
                    os.fchown(copy, self._owner.uid, self._owner.gid)
                os.utime(copy, ns=(modified, modified))
            finally:
                os.close(copy)
        finally:
            os.close(origin)

    def _fill(self, origin: int, copy: int, size: int) -> None:
        if self._reflink:
            try:
                fcntl.ioctl(copy, _FICLONE, origin)
            except OSError:
                self._reflink = False  # this file system cannot; do not ask again for every file
            else:
                return
        done = 0
        while done < size:
            if sys.platform == "linux":
                count = os.sendfile(copy, origin, done, size - done)
            else:
                count = os.write(copy, os.pread(origin, _CHUNK, done))
            if count == 0:
                raise OSError(None, f"a file of {size} bytes holds only {done}")
            done += count


def _fill_without_zeros(origin: int, copy: int) -> None:
    """Copy, but leave holes for zeros: a log segment is mostly empty, and every stage has one."""
    os.ftruncate(copy, 0)
    offset = 0
    while block := os.read(origin, _BLOCK):
        if block.strip(b"\0"):
            os.pwrite(copy, block, offset)
        offset += len(block)
