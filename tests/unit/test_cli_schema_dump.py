"""What is left of pg_dump's output, and what pg_dump is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.schema_dump import SchemaDump, settled

_TITLE = b"--\n-- PostgreSQL database dump\n--\n\n"
_VERSIONS = b"-- Dumped from database version %s\n-- Dumped by pg_dump version %s\n\n"
_END = b"--\n-- PostgreSQL database dump complete\n--\n\n"
_BODY = b"SET statement_timeout = 0;\n\nCREATE TABLE public.t (a integer);\n\n\n"

_NEW = _TITLE + b"\\restrict abc123\n\n" + _VERSIONS % (b"18.6", b"18.6") + _BODY + _END + b"\\unrestrict abc123\n\n"
_OLD = _TITLE + _VERSIONS % (b"15.3 (Debian 15.3-1)", b"16.1") + _BODY + _END

_SETTLED = _TITLE + _BODY + b"--\n-- PostgreSQL database dump complete\n--\n"


@pytest.mark.parametrize(
    "dump", [_NEW, _OLD, _NEW + b"\n", b"\n" + _OLD], ids=["18", "15", "newlines", "newline first"]
)
def test_versions_and_keys_are_left_out(dump: bytes) -> None:
    assert settled(dump) == _SETTLED


def test_what_is_settled_stays_as_it_is() -> None:
    assert settled(_SETTLED) == _SETTLED


_FUNCTION = (
    b"CREATE FUNCTION f() RETURNS text AS $$\n"
    + _TITLE
    + b"\\restrict mine\n\n"
    + _VERSIONS % (b"1", b"2")
    + _END
    + b"\\unrestrict mine\n\n"
    + b"$$ LANGUAGE sql;\n"
)


@pytest.mark.parametrize("dump", [_NEW, _OLD], ids=["18", "15"])
def test_a_function_that_holds_such_lines_keeps_them(dump: bytes) -> None:
    assert _FUNCTION in settled(dump.replace(_BODY, _BODY + _FUNCTION))


@given(body=st.binary(max_size=200))
def test_the_schema_itself_is_never_touched(body: bytes) -> None:
    inner = b"SELECT 1;" + body + b";\n"
    assert settled(_NEW.replace(_BODY, inner)) == _SETTLED.replace(_BODY, inner)


@given(dump=st.binary(max_size=200))
def test_there_is_one_newline_at_the_end(dump: bytes) -> None:
    result = settled(dump)
    assert result.endswith(b"\n")
    assert not result.endswith(b"\n\n")


def test_text_that_is_no_dump_is_kept() -> None:
    assert settled(b"\\restrict x\nSELECT 1;") == b"\\restrict x\nSELECT 1;\n"


# acceptance: 199, 210
@pytest.mark.parametrize(
    ("wanted", "arguments"),
    [
        (SchemaDump(), ()),
        (
            SchemaDump(
                table=("a", "b"),
                schema=("s",),
                no_tablespaces=True,
                no_privileges=True,
                no_owner=True,
                no_comments=True,
                exclude_table=("x", "y"),
                exclude_schema=("z",),
            ),
            (
                "--exclude-schema=z",
                "--exclude-table=x",
                "--exclude-table=y",
                "--no-comments",
                "--no-owner",
                "--no-privileges",
                "--no-tablespaces",
                "--schema=s",
                "--table=a",
                "--table=b",
            ),
        ),
        (SchemaDump(table=("--help",)), ("--table=--help",)),
    ],
)
def test_arguments(wanted: SchemaDump, arguments: tuple[str, ...]) -> None:
    assert wanted.arguments == ("--schema-only", *arguments)
