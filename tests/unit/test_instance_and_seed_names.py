"""Names of instances and seeds."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.definition import DEFAULT_INSTANCE, InstanceName
from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.seeds.base import SeedName

CONSTANT = SeedName("create-users-table")


# acceptance: 1
@pytest.mark.parametrize("text", ["main", "my-instance", "a", "123", "a--b", "a" * 64])
def test_an_instance_name_is_kept_as_it_is(text):
    assert str(InstanceName(text)) == text
    assert InstanceName(text) == text


# acceptance: 2, 3, 4, 5
@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", "empty", "instance name is empty"),
        ("-foo", "starts-with-dash", "instance name '-foo' starts with a dash"),
        ("-", "starts-with-dash", "instance name '-' starts with a dash"),
        ("foo-", "ends-with-dash", "instance name 'foo-' ends with a dash"),
        ("foo bar", "invalid-character", "instance name 'foo bar' must not contain ' '"),
        ("foo_bar", "invalid-character", "instance name 'foo_bar' must not contain '_'"),
        ("Main", "invalid-character", "instance name 'Main' must not contain 'M'"),
        ("main\n", "invalid-character", "instance name 'main\\n' must not contain '\\n'"),
        ("größe", "invalid-character", "instance name 'größe' must not contain 'ö'"),
        ("a/b", "invalid-character", "instance name 'a/b' must not contain '/'"),
    ],
)
def test_no_instance_name(text, kind, message):
    with pytest.raises(InvalidValue) as caught:
        InstanceName(text)
    assert (caught.value.kind, caught.value.message) == (kind, message)


# acceptance: 6
def test_the_default_instance_is_main():
    assert DEFAULT_INSTANCE == "main"


# acceptance: 7
@pytest.mark.parametrize("text", ["schema", "create-users-table", "a", "123", "a" * 63])
def test_a_seed_name_is_kept_as_it_is(text):
    assert str(SeedName(text)) == text


# acceptance: 8, 9, 10, 11
@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", "empty", "seed name is empty"),
        ("a" * 64, "too-long", f"seed name '{'a' * 64}' is longer than 63 characters"),
        ("-schema", "starts-with-dash", "seed name '-schema' starts with a dash"),
        ("schema-", "ends-with-dash", "seed name 'schema-' ends with a dash"),
        ("Schema", "invalid-character", "seed name 'Schema' must not contain 'S'"),
        ("create_table", "invalid-character", "seed name 'create_table' must not contain '_'"),
        ("my seed", "invalid-character", "seed name 'my seed' must not contain ' '"),
    ],
)
def test_no_seed_name(text, kind, message):
    with pytest.raises(InvalidValue) as caught:
        SeedName(text)
    assert (caught.value.kind, caught.value.message) == (kind, message)


# acceptance: 12
def test_a_seed_name_can_be_a_constant():
    assert CONSTANT == "create-users-table"
    assert isinstance(CONSTANT, SeedName)


@given(st.text(alphabet=string.ascii_letters + string.digits + "-_. \n", max_size=70))
def test_a_seed_name_is_an_instance_name_that_is_short_enough(text):
    try:
        name = InstanceName(text)
    except InvalidValue:
        with pytest.raises(InvalidValue):
            SeedName(text)
    else:
        assert set(name) <= set(string.ascii_lowercase + string.digits + "-")
        if len(text) <= 63:
            assert str(SeedName(text)) == str(name)
