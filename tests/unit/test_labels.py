"""Labels: a round trip, what they must not hold, and what is said of labels that are not ours."""

from __future__ import annotations

import json

import pytest

from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import CacheError
from pg_ephemeral.labels import Metadata, SeedEntry

KEY = CacheKey("ab" * 32)
METADATA = Metadata(
    version="1.2.3",
    instance="main",
    key=KEY,
    image="17.6",
    platform="linux/amd64",
    postgres="17.6",
    superuser="postgres",
    database="shop",
    seeds=(SeedEntry(name="schema", kind="sql-file", hash=KEY), SeedEntry(name="late", kind="command", hash=None)),
    ssl_hostname="db.example.com",
)


# acceptance: 123, 124, 127
def test_labels_round_trip() -> None:
    labels = METADATA.to_labels()
    assert Metadata.from_labels(labels) == METADATA
    assert list(labels) == sorted(labels)
    assert labels["pg-ephemeral.instance"] == "main"
    assert labels["pg-ephemeral.superuser.user"] == "postgres"


# acceptance: 125, 126
def test_a_seed_entry_is_name_type_and_hash_in_this_order() -> None:
    entries = json.loads(METADATA.to_labels()["pg-ephemeral.seeds"])
    assert [list(entry) for entry in entries] == [["name", "type", "hash"]] * 2
    assert entries[1]["hash"] is None


# acceptance: 117, 121
def test_absent_tls_leaves_no_label() -> None:
    from msgspec.structs import replace

    labels = replace(METADATA, ssl_hostname=None, seeds=()).to_labels()
    assert "pg-ephemeral.ssl.hostname" not in labels
    assert json.loads(labels["pg-ephemeral.seeds"]) == []


# fault: W13, W37
def test_there_is_no_room_for_a_secret_or_a_seeds_text() -> None:
    assert sorted(METADATA.to_labels()) == [
        f"pg-ephemeral.{name}"
        for name in [
            "database",
            "image",
            "instance",
            "key",
            "platform",
            "postgres",
            "seeds",
            "ssl.hostname",
            "superuser.database",
            "superuser.user",
            "version",
        ]
        if name != "database"
    ]


@pytest.mark.parametrize("name", ["version", "instance", "key", "image", "platform", "superuser.user", "seeds"])
def test_a_missing_label_is_named(name: str) -> None:
    labels = METADATA.to_labels()
    del labels[f"pg-ephemeral.{name}"]
    with pytest.raises(CacheError, match=f"pg-ephemeral.{name}"):
        Metadata.from_labels(labels)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "short"),
        ("seeds", "no json"),
        ("seeds", '[{"name": "x"}]'),
        ("seeds", "7"),
        ("seeds", '[{"name":"x","type":"y","hash":"z"}]'),
    ],
)
def test_a_malformed_label_is_named(name: str, value: str) -> None:
    labels = METADATA.to_labels() | {f"pg-ephemeral.{name}": value}
    with pytest.raises(CacheError, match=f"pg-ephemeral.{name}"):
        Metadata.from_labels(labels)


# fault: W17
def test_hundreds_of_seeds_fit_and_more_are_refused_by_the_name_of_their_instance() -> None:
    from msgspec.structs import replace

    def many(count: int) -> Metadata:
        entry = SeedEntry(name="x" * 63, kind="sql-file-git-revision", hash=KEY)
        return replace(METADATA, seeds=(entry,) * count)

    assert Metadata.from_labels(many(300).to_labels()) == many(300)
    with pytest.raises(CacheError, match="instance 'main' has too many seeds to describe in a label: 400"):
        many(400).to_labels()
