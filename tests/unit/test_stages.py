"""The embedded store on disk: names, strangers, and what is damaged. No server is run here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import StageGone
from pg_ephemeral.oci.reference import Name, Reference, Tag
from pg_ephemeral.postgres.datadir import WalSegments

KEY = CacheKey("ab" * 32)
WAL = "000000010000000000000001"


def reference(repository: str, key: str = KEY) -> Reference:
    return Reference(name=Name.parse(repository), tag=Tag.parse(key))


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path / "store")


def add(stages: Stages, repository: str = "pg-ephemeral/main", *, content: bytes = b"18\n", key: str = KEY) -> None:
    working = stages.root.parent / f"working-{content.hex()}-{key[:4]}"
    if not working.exists():
        (working / "pg_wal").mkdir(parents=True)
        (working / "pg_wal" / WAL).write_bytes(b"w")
        (working / "PG_VERSION").write_bytes(content)
    stages.add(
        reference(repository, key), {"k": content.decode()}, working, wal=WalSegments(first=WAL, last=WAL), parent=None
    )


def content(stages: Stages) -> bytes:
    data, _ = stages.open(KEY)
    return (data / "PG_VERSION").read_bytes()


def test_the_first_to_add_a_key_wins(stages: Stages) -> None:
    add(stages, content=b"first")
    add(stages, content=b"second")
    assert content(stages) == b"first"


@pytest.mark.parametrize("harm", ["stage.json", "tree.json", "data/PG_VERSION"])
def test_one_that_is_damaged_is_replaced(stages: Stages, harm: str) -> None:
    add(stages, content=b"first")
    path = stages.directory(KEY) / harm
    if harm.endswith(".json"):
        path.write_bytes(b"{")
    else:
        os.truncate(path, 0)
    add(stages, content=b"second")
    assert content(stages) == b"second"
    assert stages.is_whole(KEY)
    assert list((stages.root / "ingest").iterdir()) == []


def test_what_cannot_be_read_is_absent(stages: Stages) -> None:
    add(stages)
    (stages.directory(KEY) / "stage.json").write_bytes(b"")
    assert stages.get([reference("pg-ephemeral/main")]) == {}


def test_a_stage_without_its_tree_is_gone_for_good(stages: Stages) -> None:
    add(stages)
    (stages.directory(KEY) / "tree.json").unlink()
    with pytest.raises(StageGone):
        stages.open(KEY)
    assert not stages.directory(KEY).exists()


def test_a_stage_that_lacks_a_file_is_taken_away(stages: Stages) -> None:
    add(stages)
    assert stages.is_whole(KEY)
    (stages.directory(KEY) / "data" / "PG_VERSION").unlink()
    assert not stages.is_whole(KEY)
    assert not stages.directory(KEY).exists()


def test_a_damaged_stage_can_be_forgotten(stages: Stages) -> None:
    add(stages)
    (stages.directory(KEY) / "stage.json").write_bytes(b"")
    [image] = stages.list(Name.parse("pg-ephemeral/main"))
    assert stages.remove(image.reference, force=False)
    assert stages.list(None) == ()
    assert stages.present() == ()


def test_strangers_are_none_of_ours(stages: Stages) -> None:
    add(stages)
    names = stages.root / "names" / "pg-ephemeral" / "main"
    (names / ".DS_Store").write_text("")
    (stages.root / "names" / "Thumbs.db").write_text("")
    (stages.root / "stages" / "lost+found").mkdir()
    assert [str(image.reference) for image in stages.list(Name.parse("pg-ephemeral/main"))] == [
        f"pg-ephemeral/main:{KEY}"
    ]
    assert len(stages.list(None)) == 1
    assert stages.present() == (KEY,)


def test_everything_is_listed_by_all_its_names(stages: Stages) -> None:
    repositories = ["ghcr.io/owner/pg-ephemeral/main", "localhost:5000/pg-ephemeral/main", "pg-ephemeral/other"]
    for repository in repositories:
        add(stages, repository)
    assert sorted(str(image.reference.name) for image in stages.list(None)) == repositories


def test_one_without_a_name_is_listed_and_can_be_removed(stages: Stages) -> None:
    """Its maker was killed before it had one."""
    add(stages)
    (stages.root / "names" / "pg-ephemeral" / "main" / KEY).unlink()
    [image] = stages.list(None)
    assert stages.remove(image.reference, force=False)
    assert stages.present() == ()
    assert not stages.remove(image.reference, force=False)
