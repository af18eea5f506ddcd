"""Make an installation readable for another user: root's wheels often lie in root's own home.

PostgreSQL finds its libraries and its share directory relative to its programs, so a copy of the installation at any
other place works.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from msgspec.structs import replace

from pg_ephemeral.lock import exclusive
from pg_ephemeral.paths import ensure_directory, unusable
from pg_ephemeral.postgres.account import Account
from pg_ephemeral.postgres.binaries import Installation
from pg_ephemeral.process import Invocation, spawn


def readable_for(account: Account, installation: Installation, copies: Path) -> Installation:
    """The installation itself if the account can run it, else a copy of it below ``copies``, made once.

    Raises ``CacheError`` when the copy cannot be made.
    """
    if account.foreign:
        runs = _succeeds(account, installation.program("postgres"), "--version")
    else:
        runs = account.barrier(installation.bin) is None
    if runs:
        return installation
    source = installation.bin.resolve().parent
    name = hashlib.sha256(f"{source}\n{installation.version.build}".encode()).hexdigest()[:16]
    target = copies / name / source.parent.name / source.name
    with exclusive(copies / f"{name}.lock"):
        if not target.exists():
            _copy(source, target)
    return replace(installation, bin=target / "bin")


def can_enter(account: Account, directory: Path) -> bool:
    """Whether the account can get into a directory that was given to it: those above may be closed to it."""
    return _succeeds(account, "sh", "-c", 'cd -- "$1"', "sh", str(directory))


def _succeeds(account: Account, *argv: str) -> bool:
    probe = Invocation(argv=argv, env={"PATH": os.defpath}, cwd=Path("/"))
    child = spawn(probe, user=account.uid, group=account.gid)
    child.communicate()
    return child.returncode == 0


def _copy(source: Path, target: Path) -> None:
    """Copy beside, then rename, with the libraries that wheels put next to their package."""
    beside = target.with_name(f"{target.name}.new")
    try:
        ensure_directory(target.parent, mode=0o755)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(source, beside, symlinks=True)
        libraries = source.parent.with_name(f"{source.parent.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, target.parent.with_name(libraries.name), dirs_exist_ok=True)
        for directory in (target.parent.parent, target.parent, beside):
            directory.chmod(0o755)
        beside.rename(target)
    except OSError as error:
        raise unusable(target, error) from error
