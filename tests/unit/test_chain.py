"""Cache keys: golden values, framing, and what is and is not an input."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pg_ephemeral.chain import (
    BaseIdentity,
    CacheKey,
    Chain,
    ClusterInputs,
    RootInputs,
    canonical_json,
    derive,
    make_chain,
)
from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.seeds.base import LoadContext
from support.seeds import words

IDENTITY = BaseIdentity(
    fields={"backend": "embedded", "postgres": "postgres (PostgreSQL) 18.6"}, platform="linux/amd64", version="18.6"
)
CLUSTER = ClusterInputs(identity=IDENTITY, superuser="postgres", database="postgres")
ROOT = RootInputs(parameters={"work_mem": "16MB"}, test_profile=True, tls=None)


def chain(text: str = "", cluster: ClusterInputs = CLUSTER, root: RootInputs = ROOT) -> Chain:
    from pathlib import Path

    loaded = [seed.load(LoadContext(directory=Path())) for seed in words(text)]
    return make_chain(cluster, root, loaded)


def test_golden_keys() -> None:
    """A change here loses every user's cache: it must be meant, and SCHEMA must change with it."""
    golden = chain("schema data")
    assert golden.keys == (
        "8fe09612af797a0c10108d7d675d0c3d6eb82b656d9dd80b91ae2f53a5cd410f",
        "c5471a067076b17e554432cbab44bf326094510418a9206c11abcafe2f09a651",
        "10d4e27782cca54682b9bb0a502d8887cf9d771204faa8f2bfd53d76ce49cb70",
    )


def test_the_rule_of_a_key_is_what_the_module_says() -> None:
    parent = CacheKey("0" * 64)
    text = b'[1,"sql-file","' + b"0" * 64 + b'",{"sql":"abc"}]'
    assert derive("sql-file", parent, {"sql": "abc"}) == hashlib.sha256(text).hexdigest()


# acceptance: 16, 17
def test_a_key_round_trips() -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert empty == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert CacheKey(empty) == empty
    assert str(CacheKey(empty)) == empty


# acceptance: 18
def test_a_key_is_a_plain_string_in_json() -> None:
    import json

    key = CacheKey("ab" * 32)
    assert json.dumps(key) == f'"{key}"'
    assert CacheKey(json.loads(json.dumps(key))) == key


# acceptance: 19
@pytest.mark.parametrize("length", [0, 4, 66])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidValue) as caught:
        CacheKey("a" * length)
    assert caught.value.kind == "invalid-length"
    assert str(length) in caught.value.message


# acceptance: 20
@pytest.mark.parametrize("text", ["g" * 64, "a" * 63 + "-"])
def test_a_key_of_other_characters_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        CacheKey(text)
    assert caught.value.kind == "invalid-hex"


# acceptance: 20
def test_a_key_of_odd_length_is_refused() -> None:
    with pytest.raises(InvalidValue):
        CacheKey("a" * 63)


# acceptance: 21
def test_an_upper_case_key_is_lowered() -> None:
    assert CacheKey("AB" * 32) == "ab" * 32


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


# fault: W14
@given(_json, _json)
def test_different_inputs_are_never_framed_alike(one: Any, other: Any) -> None:
    if _same(one, other):
        assert canonical_json(one) == canonical_json(other)
    else:
        assert canonical_json(one) != canonical_json(other)


def _same(one: Any, other: Any) -> bool:
    """Equality that, unlike Python's, tells True from 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


# fault: W14
@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4), st.text(max_size=3), st.text(max_size=3))
def test_kind_and_inputs_do_not_run_together(one: list[str], other: list[str], kind: str, another: str) -> None:
    same = one == other and kind == another
    assert (derive(kind, None, {"argv": one}) == derive(another, None, {"argv": other})) is same


# fault: W14
def test_text_that_moves_from_one_seed_to_the_next_changes_the_last_key() -> None:
    assert chain("ab c").keys[-1] != chain("a bc").keys[-1]


# fault: W5, W6, W15
@pytest.mark.parametrize(
    "cluster",
    [
        replace(CLUSTER, superuser="admin"),
        replace(CLUSTER, database="shop"),
        replace(CLUSTER, identity=replace(IDENTITY, platform="linux/arm64")),
        replace(CLUSTER, identity=replace(IDENTITY, fields={"backend": "embedded", "postgres": "18.7"})),
    ],
)
def test_what_the_cluster_depends_on_changes_every_key(cluster: ClusterInputs) -> None:
    assert not set(chain("a b", cluster=cluster).keys) & set(chain("a b").keys)


# acceptance: 95
@pytest.mark.parametrize(
    "root",
    [
        replace(ROOT, parameters={"work_mem": "32MB"}),
        replace(ROOT, parameters={}),
        replace(ROOT, test_profile=False),
        replace(ROOT, tls="localhost"),
        replace(ROOT, tls="example.com"),
    ],
)
def test_what_every_server_depends_on_changes_every_stage_but_stage_0(root: RootInputs) -> None:
    other, ours = chain("a b", root=root), chain("a b")
    assert other.cluster == ours.cluster
    assert not set(other.keys[1:]) & set(ours.keys[1:])


# acceptance: 90
def test_a_seed_changes_its_own_key_and_all_later_ones() -> None:
    one, other = chain("a b c"), chain("a x c")
    assert one.keys[:2] == other.keys[:2]
    assert not set(one.keys[2:]) & set(other.keys[2:])


# fault: W16
def test_neither_the_version_of_the_tool_nor_names_are_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from pg_ephemeral.seeds.base import SeedName

    seed = words("data")[0]
    renamed = dataclasses.replace(seed, name=SeedName("other"))  # type: ignore[type-var] # a WordSeed
    keys = [make_chain(CLUSTER, ROOT, [one.load(LoadContext(directory=Path()))]).keys for one in (seed, renamed)]
    assert keys[0] == keys[1]
    source = Path(str(__import__("pg_ephemeral.chain", fromlist=["chain"]).__file__)).read_text()
    assert "import VERSION" not in source


def test_the_chain_ends_at_the_first_seed_that_is_not_cached() -> None:
    broken = chain("a b! c d!")
    assert [stage.key is not None for stage in broken.stages] == [True, False, False, False]
    assert broken.breaker is broken.stages[1]
    assert broken.cacheable == broken.stages[:1]
    assert chain("a b").breaker is None
