"""CSV seeds on real servers.

``server_target`` is an empty server as seeds see it, whose ``directory`` is the test's own; once for the newest and
once for the oldest PostgreSQL that is installed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pg_ephemeral.errors import SeedFailed
from pg_ephemeral.postgres import client
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.csv import CsvFile
from pg_ephemeral.server import SeedTarget
from support.seed_target import load, write


def execute(target: SeedTarget, sql: str) -> None:
    with client.connect(target.conninfo) as connection:
        connection.execute(sql)


def rows(target: SeedTarget, query: str) -> list[tuple[object, ...]]:
    with client.connect(target.conninfo) as connection:
        return connection.rows(query)


def apply(target: SeedTarget, content: str | bytes, **options: Any) -> None:
    write(target.directory, rows_csv=content)
    seed = CsvFile(name=SeedName("rows"), path=Path("rows.csv"), **{"table": "t", **options})
    load(seed, target.directory).apply(target)


def failure(target: SeedTarget, content: str | bytes, **options: Any) -> SeedFailed:
    with pytest.raises(SeedFailed) as caught:
        apply(target, content, **options)
    return caught.value


# acceptance: 79
def test_rows_are_loaded(server_target: SeedTarget) -> None:
    execute(server_target, "CREATE TABLE t (id int, name text)")
    apply(server_target, "id,name\n1,one\n2,two\n3,three\n")
    assert rows(server_target, "SELECT * FROM t ORDER BY id") == [(1, "one"), (2, "two"), (3, "three")]


# acceptance: 80
def test_columns_left_out_take_their_defaults(server_target: SeedTarget) -> None:
    execute(server_target, "CREATE TABLE t (id serial, name text, kind text DEFAULT 'x')")
    apply(server_target, "name\none\ntwo\nthree\n")
    assert rows(server_target, "SELECT * FROM t ORDER BY id") == [(1, "one", "x"), (2, "two", "x"), (3, "three", "x")]


# fault: W49
@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b'\xef\xbb\xbf"full ""name""",a\r\n"gr\xc3\xbcn, x",1\r\n', {}),
        ('a;"full ""name"""\n1;"grün, x"\n'.encode("latin1"), {"delimiter": ";", "encoding": "LATIN1"}),
        ("a\t'full \"name\"'\n1\tgrün, x\n", {"delimiter": "\t", "quote": "'"}),
        ('"full ""name""",a\n"grün, x",1\n'.encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_spreadsheets_of_all_kinds(content: str | bytes, options: dict[str, str], server_target: SeedTarget) -> None:
    execute(server_target, 'CREATE SCHEMA "S s"; CREATE TABLE "S s"."T" (a int, "full ""name""" text)')
    apply(server_target, content, schema="S s", table="T", **options)
    assert rows(server_target, 'SELECT * FROM "S s"."T"') == [(1, "grün, x")]


def test_null_is_what_is_said(server_target: SeedTarget) -> None:
    execute(server_target, "CREATE TABLE t (a text)")
    apply(server_target, 'a\n\\N\n"\\N"\n""\n', null="\\N")
    assert rows(server_target, "SELECT a FROM t") == [(None,), ("\\N",), ("",)]


def test_names_and_values_may_hold_line_ends(server_target: SeedTarget) -> None:
    execute(server_target, 'CREATE TABLE t ("a\nb" text)')
    apply(server_target, '"a\nb"\n"c\nd"\n')
    assert rows(server_target, "SELECT * FROM t") == [("c\nd",)]


def test_a_database_in_another_encoding_gets_the_same_text(server_target: SeedTarget) -> None:
    execute(server_target, "CREATE TABLE t (a text)")
    content = "a\n" + "ä\n" * 200_000
    apply(server_target, content.encode("latin1"), encoding="latin1")
    assert rows(server_target, "SELECT count(*), min(a), max(a) FROM t") == [(200_000, "ä", "ä")]


def test_a_line_that_ends_data_for_older_servers_is_data(server_target: SeedTarget) -> None:
    execute(server_target, "CREATE TABLE t (n serial, a text)")
    apply(server_target, 'a\n1\n\\.\n"x\n\\.\ny"\n2\n\\.')
    assert rows(server_target, "SELECT a FROM t ORDER BY n") == [("1",), ("\\.",), ("x\n\\.\ny",), ("2",), ("\\.",)]


@pytest.mark.parametrize(
    ("delimiter", "expected"), [(".", [("\\", None), ("x\n\\.\ny", "z")]), ("\\", [(None, "."), ("x\n\\.\ny", "z")])]
)
def test_so_is_one_with_such_a_delimiter(
    server_target: SeedTarget, delimiter: str, expected: list[tuple[str | None, str | None]]
) -> None:
    execute(server_target, "CREATE TABLE t (n serial, a text, b text)")
    content = f'a{delimiter}b\n\\.\n"x\n\\.\ny"{delimiter}z\n'
    apply(server_target, content, delimiter=delimiter)
    assert rows(server_target, "SELECT a, b FROM t ORDER BY n") == expected


# fault: W51
def test_what_takes_longer_than_it_may_fails(server_target: SeedTarget) -> None:
    execute(
        server_target,
        "CREATE TABLE t (a int); CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(NEW.a); RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION sleep()",
    )
    error = failure(server_target, "a\n300\n", timeout=0.3)
    assert error.message == "seed 'rows' did not end within 0.3 s, its timeout"
    apply(server_target, "a\n0\n", timeout=1e9)
    assert rows(server_target, "SELECT a FROM t") == [(0,)]
    execute(server_target, "ALTER ROLE postgres SET statement_timeout = '200ms'")
    assert "canceling statement due to statement timeout" in failure(server_target, "a\n300\n").message


class TestFailures:
    @pytest.fixture(autouse=True)
    def _table(self, server_target: SeedTarget) -> None:
        execute(server_target, "CREATE TABLE t (a int PRIMARY KEY, b text)")

    # acceptance: 81
    def test_a_column_the_table_does_not_have(self, server_target: SeedTarget) -> None:
        error = failure(server_target, "a,missing\n1,2\n")
        assert error.message == 'seed \'rows\': rows.csv:1: column "missing" of relation "t" does not exist'

    @pytest.mark.parametrize(
        ("content", "line", "problem"),
        [
            ('a,b\n1,"two\nlines"\nx,y\n', 4, "invalid input syntax for type integer"),
            ("a,b\n1,x\n1,y\n", 3, "duplicate key value"),
            ("a,b\n1,x,2\n", 2, "extra data after last expected column"),
        ],
    )
    def test_the_line_is_named(self, content: str, line: int, problem: str, server_target: SeedTarget) -> None:
        assert failure(server_target, content).message.startswith(f"seed 'rows': rows.csv:{line}: {problem}")
        assert rows(server_target, "SELECT * FROM t") == []

    def test_bytes_that_are_no_utf_8(self, server_target: SeedTarget) -> None:
        content = b"a,b\n" + b"".join(b"%d,x\n" % number for number in range(2, 3000)) + b"1,gr\xfcn\n"
        error = failure(server_target, content)
        assert error.message.startswith("seed 'rows': rows.csv:3000: invalid byte sequence")
        assert error.hint is not None
        assert "encoding" in error.hint

    def test_a_table_that_is_not_there(self, server_target: SeedTarget) -> None:
        error = failure(server_target, "a\n1\n", table="nope")
        assert error.message == "seed 'rows': rows.csv: relation \"public.nope\" does not exist"
