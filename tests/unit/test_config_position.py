"""Where keys and values of a TOML text are: held against the standard library's reader, which knows what they say."""

from __future__ import annotations

import json
import string
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.config.position import dotted, line_and_column, locate

DOCUMENTS = [
    "",
    "# nothing but a comment",
    "a = 1",
    "a=1\nb = 'x' # = c\n",
    "a = \"# no comment\"\nb = '[no.table]'",
    '"a b" = 1\n\'c.d\' = 2\n"e\\"f\\u00e9" = 3\n"" = 4',
    "a.b.c = 1\na . b . d = 2\n'a'.e = 3",
    "[a]\nb = 1\n[a.c]\nd = 2\n[ e . 'f.g' ]\nh = 3",
    "[a.b]\nc = 1\n[a]\nd = 2",
    "a = { b = 1, 'c d' = { e.f = [1, 2] }, g = {} }\nh = 1",
    'a = """\nb = 1\n[c]\n"quoted" \\""" still """\nd = 2',
    'a = """x"""""\nb = 1',
    'a = """"quoted""""\nb = 1',
    "a = '''\nb = 1 '' \n[c]\n'''''\nd = 2",
    "a = [\n  'x', # ] comment, [\n  \"y]\",\n  { z = 1 },\n  [[], [3]],\n]\nb = 1",
    "a = []\nb = {}\nc = ''\nd = \"\"",
    "a = 1979-05-27 07:32:00 # when\nb = 07:32:00\nc = -inf\nd = 0xff\ne = 1e3\nf = true",
    "[[a]]\nb = 1\n[a.c]\nd = 1\n[[a]]\nb = 2\n[[a.e]]\nf = 1\n[[a.e]]\nf = 2",
    '"\\t" = "\\\\"\nnext = "\\""\nlast = 1',
    '"ключ" = "знач"\nb = 1',
]


def paths(value, path=()):
    """Every path below a value, with what is there."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key), member
        yield from paths(member, (*path, key))


def read_back(text, span):
    return tomllib.loads(f"x = {text[span.start : span.end]}")["x"]


def check(text):
    locations = locate(text)
    assert locations.again == {}
    expected = dict(paths(tomllib.loads(text)))
    assert set(locations.first) == set(expected)
    for path, value in expected.items():
        location = locations.first[path]
        if isinstance(path[-1], str):
            written = text[location.key.start : location.key.end]
            assert list(tomllib.loads(f"{written} = 0")) == [path[-1]]
        if location.value is not None:
            assert read_back(text, location.value) == value
        else:
            assert isinstance(value, (dict, list))


@pytest.mark.parametrize("text", DOCUMENTS)
def test_every_key_is_found_with_its_value(text):
    check(text)


BARE = st.text(alphabet=string.ascii_letters + string.digits + "_-", min_size=1, max_size=4)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["true", "inf", "1979-05-27", '"""a\n"b"""', "'''a'b\n= '''", "'#'", '"\\""']),
    ANY.map(json.dumps).map(lambda text: text.replace("\x7f", "\\u007f")).filter(lambda text: "\\ud" not in text),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", # ]\n".join(items) + "\n]"),
        st.dictionaries(BARE, inner, max_size=3).map(
            lambda items: "{ " + ", ".join(f"{key} = {value}" for key, value in items.items()) + " }"
        ),
    ),
    max_leaves=6,
)


@given(st.dictionaries(BARE, st.dictionaries(BARE, VALUES, max_size=3), max_size=3))
def test_whatever_the_values_every_key_is_found(tables):
    text = "".join(
        f"[{name}] # table\n" + "".join(f"{key} = {value}\n" for key, value in members.items())
        for name, members in tables.items()
    )
    check(text)


@given(st.text(alphabet="ab.=[]{}\"'#\n ,1\\"))
def test_a_broken_text_is_walked_as_far_as_it_goes(text):
    for path, location in locate(text).first.items():
        assert path
        assert 0 <= location.key.start < location.key.end <= len(text)


def test_what_is_declared_again_is_told_by_its_last_key():
    text = "[a.b]\nc = 1\nc = 2\n[a]\n[a.b]\n"
    again = locate(text).again
    assert {text[: span.start].count("\n") + 1: path for span, path in again.items()} == {
        3: ("a", "b", "c"),
        5: ("a", "b"),
    }
    assert {text[span.start : span.end] for span in again} == {"b", "c"}


def test_deep_nesting_ends_the_walk_and_not_the_process():
    assert ("a",) in locate("a = 1\nb = " + "[" * 100_000).first


@pytest.mark.parametrize(("offset", "place"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (3, 2)), (7, (3, 3))])
def test_lines_and_columns_count_from_one(offset, place):
    assert line_and_column("ab\nc\nde", offset) == place


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("instances", "main", "seeds", "load"), "instances.main.seeds.load"),
        (("a b", "c.d", "", 'e"', "é", "\n"), '"a b"."c.d".""."e\\""."é"."\\n"'),
        (("a", 1, "b", 0), "a[1].b[0]"),
    ],
)
def test_a_path_as_it_is_written(path, text):
    assert dotted(path) == text
