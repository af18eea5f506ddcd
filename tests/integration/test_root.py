"""Root in the environment of another user, as ``su`` and ``sudo -E`` leave it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pg_ephemeral import Definition, boot
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.errors import CacheError
from pg_ephemeral.image import ImageWord
from pg_ephemeral.paths import SYSTEM_CACHE
from pg_ephemeral.postgres import account
from pg_ephemeral.postgres.relocate import readable_for
from support import machine

pytestmark = pytest.mark.needs("namespace")


@pytest.fixture
def strangers_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another user's home, closed to others, in root's environment, as ``su`` and ``sudo -E`` leave it."""
    with tempfile.TemporaryDirectory(prefix="pge", dir="/tmp") as directory:
        home = Path(directory)
        (home / "runtime").mkdir(mode=0o700)
        for path in (home, home / "runtime"):
            os.chown(path, 54321, 54321)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "runtime"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("PG_EPHEMERAL_CACHE_DIR", raising=False)
        yield home


def test_its_cache_is_the_systems(strangers_home: Path) -> None:
    backend = EmbeddedBackend(ImageWord.parse("latest"))
    assert backend.images.root.is_relative_to(SYSTEM_CACHE)
    strangers_home.chmod(0o711)
    backend = EmbeddedBackend(ImageWord.parse("latest"))
    assert backend.images.root.is_relative_to(strangers_home), "its servers can pass through"


@pytest.mark.usefixtures("strangers_home")
def test_it_can_boot(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    with boot(Definition().with_backend("embedded")) as server:
        assert server.running


def test_a_cache_it_asks_for_must_be_within_reach(strangers_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(strangers_home / "cache"))
    with pytest.raises(CacheError, match="out of reach") as caught, boot(Definition().with_backend("embedded")):
        pass
    assert str(strangers_home) in caught.value.message
    assert "PG_EPHEMERAL_CACHE_DIR" in (caught.value.hint or "")


def test_programs_out_of_reach_are_copied(strangers_home: Path, tmp_path: Path) -> None:
    installation = machine.installations()[0]
    shutil.copytree(installation.bin, strangers_home / "pg" / "bin", symlinks=True)
    theirs = replace(installation, bin=strangers_home / "pg" / "bin")
    copied = readable_for(account.choose(), theirs, tmp_path)
    assert copied.bin.is_relative_to(tmp_path)
    assert readable_for(account.choose(), copied, tmp_path / "again") == copied
