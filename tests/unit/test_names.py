"""The rules of identifiers, passwords, hosts, ports and environment variables, and how SQL quotes text."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.postgres import names

#: What PostgreSQL can hold as text.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def kind_of(check, text) -> str | None:
    """The kind of error ``check`` has for ``text``; None if it accepts it unchanged."""
    try:
        assert check(text) == text
    except InvalidValue as error:
        return error.kind
    return None


# acceptance: 193
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        ("a", None),
        ("ab", None),
        ("a" * 62, None),
        ("a" * 63, None),
        ("a" * 64, "too-long"),
        ("é" * 31, None),
        ("é" * 32, "too-long"),
        ("a\0b", "nul"),
        ("\udc80", "not-utf-8"),
    ],
)
def test_application_name(text, kind):
    assert kind_of(names.application_name, text) == kind


# acceptance: 194
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", None),
        ("a", None),
        ("a" * 4095, None),
        ("a" * 4096, None),
        ("a" * 4097, "too-long"),
        ("a\0b", "nul"),
        ("\udc80", "not-utf-8"),
    ],
)
def test_password(text, kind):
    assert kind_of(names.password, text) == kind


@pytest.mark.parametrize("text", ["secret" * 1000, "sec\0ret", "secret\udc80"])
def test_errors_do_not_show_passwords(text):
    with pytest.raises(InvalidValue) as caught:
        names.password(text)
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# acceptance: 195
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("users", None),
        ("my table", None),
        ("a.b-c'd\"e;", None),
        ("1st", None),
        ("Straße", None),
        ("a" * 63, None),
        ("", "empty"),
        ("a" * 64, "too-long"),
        ("ü" * 32, "too-long"),
        ("a\0", "nul"),
    ],
)
def test_identifier(text, kind):
    assert kind_of(names.identifier, text) == kind


def test_identifier_errors_say_what_it_was_for():
    with pytest.raises(InvalidValue, match=r"^superuser is empty$"):
        names.identifier("", what="superuser")


# acceptance: 196
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1", None),
        ("::1", None),
        ("2001:db8::8:800:200c:417a", None),
        ("localhost", "invalid-address"),
        ("db.example.com", "invalid-address"),
        ("127.0.0.256", "invalid-address"),
        ("127.0.0.1/8", "invalid-address"),
        ("[::1]", "invalid-address"),
        ("fe80::1%eth0", "invalid-address"),
        (" 127.0.0.1", "invalid-address"),
        ("", "invalid-address"),
    ],
)
def test_host_address(text, kind):
    assert kind_of(names.host_address, text) == kind


HOST_NAMES = [
    ("localhost", None),
    ("db-1.Example.com", None),
    ("3com.com", None),
    ("a" * 63 + ".b", None),
    (".".join(["a" * 49] * 5) + ".abc", None),
    (".".join(["a" * 49] * 5) + ".abcd", "too-long"),
    ("", "empty"),
    ("a" * 64, "invalid-label"),
    ("-a", "invalid-label"),
    ("a-", "invalid-label"),
    ("a..b", "invalid-label"),
    ("a.", "invalid-label"),
    ("a_b", "invalid-label"),
    ("a b", "invalid-label"),
    ("a\n", "invalid-label"),
    ("bücher.example", "invalid-label"),
    ("a\0", "nul"),
]


@pytest.mark.parametrize(("text", "kind"), HOST_NAMES)
def test_host_name(text, kind):
    assert kind_of(names.host_name, text) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [*HOST_NAMES, ("127.0.0.1", None), ("::1", None), ("::g", "invalid-label"), ("fe80::1%1", "invalid-label")],
)
def test_host(text, kind):
    assert kind_of(names.host, text) == kind


@pytest.mark.parametrize(
    ("number", "kind"), [(0, None), (5432, None), (65535, None), (65536, "invalid-port"), (-1, "invalid-port")]
)
def test_port(number, kind):
    assert kind_of(names.port, number) == kind


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("5432", 5432), ("05432", 5432), ("65535", 65535)])
def test_parse_port(text, number):
    assert names.parse_port(text) == number


@pytest.mark.parametrize("text", ["", "65536", "99999", "-1", "+1", " 1", "1\n", "1_0", "٣", "0x10", "http"])
def test_parse_port_refuses(text):
    with pytest.raises(InvalidValue) as caught:
        names.parse_port(text)
    assert caught.value.kind == "invalid-port"


# acceptance: 206
@pytest.mark.parametrize(
    ("text", "kind"), [("PATH", None), ("a b", None), ("", "empty"), ("A=B", "invalid-character"), ("A\0", "nul")]
)
def test_environment_name(text, kind):
    assert kind_of(names.environment_name, text) == kind


# acceptance: 209
@pytest.mark.parametrize(
    ("text", "kind"), [("", None), ("a=b\n", None), ("x" * 65535, None), ("x" * 65536, "too-long"), ("a\0", "nul")]
)
def test_environment_value(text, kind):
    assert kind_of(names.environment_value, text) == kind


@pytest.mark.parametrize(
    ("text", "quoted"), [("users", '"users"'), ("My Table", '"My Table"'), ('a"b', '"a""b"'), ("a\\'", '"a\\\'"')]
)
def test_quote_identifier(text, quoted):
    assert names.quote_identifier(text) == quoted


@pytest.mark.parametrize(("text", "kind"), [("", "empty"), ("a" * 64, "too-long"), ("a\0", "nul")])
def test_quote_identifier_refuses_what_is_none(text, kind):
    with pytest.raises(InvalidValue) as caught:
        names.quote_identifier(text)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", "''"),
        ("it's", "'it''s'"),
        ('a"b', "'a\"b'"),
        ("a\\b", "E'a\\\\b'"),
        ("\\'", "E'\\\\'''"),
        ("a\nb", "'a\nb'"),
    ],
)
def test_quote_literal(text, quoted):
    assert names.quote_literal(text) == quoted


def test_quote_literal_refuses_nul():
    with pytest.raises(InvalidValue) as caught:
        names.quote_literal("a\0")
    assert caught.value.kind == "nul"


@given(texts)
def test_literals_are_quoted_as_libpq_does(text):
    # libpq sets a blank before E, in case somebody glues the constant to a word.
    assert names.quote_literal(text) == sql.Literal(text).as_string().lstrip(" ")


@given(texts.filter(lambda text: 0 < len(text.encode()) <= 63))
def test_identifiers_are_quoted_as_libpq_does(text):
    assert names.quote_identifier(text) == sql.Identifier(text).as_string()


def test_random_passwords_differ_and_are_alphanumeric():
    made = {names.random_password() for _ in range(20)}
    assert len(made) == 20
    for password in made:
        assert re.fullmatch(r"[A-Za-z0-9]{32}", password)


def test_random_password_takes_its_randomness_from_the_caller():
    assert names.random_password(choose=random.Random(1).choice) == names.random_password(
        choose=random.Random(1).choice
    )
    assert names.random_password(choose=lambda alphabet: alphabet[-1]) == "9" * 32
