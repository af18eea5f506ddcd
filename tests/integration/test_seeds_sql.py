"""SQL seeds on real servers, through their own psql: what is applied, and what is said when it is not.

``server_target`` is an empty server as seeds see it, whose ``directory`` is the test's own; once for the newest and
once for the oldest PostgreSQL that is installed here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from pg_ephemeral.errors import SeedFailed
from pg_ephemeral.postgres import client
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.sql import SqlFile, SqlStatement
from pg_ephemeral.server import SeedTarget
from support.processes import pid_in, wait_until_gone
from support.seed_target import load, write


def apply(target: SeedTarget, **files: str | bytes) -> None:
    """Write files, and apply ``a.sql``."""
    write(target.directory, **files)
    load(SqlFile(name=SeedName("schema"), path=Path("a.sql")), target.directory).apply(target)


def failure(target: SeedTarget, **files: str | bytes) -> SeedFailed:
    with pytest.raises(SeedFailed) as caught:
        apply(target, **files)
    return caught.value


def rows(target: SeedTarget, query: str) -> list[tuple[object, ...]]:
    with client.connect(target.conninfo) as connection:
        return connection.rows(query)


def psql(target: SeedTarget, *arguments: str) -> str:
    """What a person would run."""
    tool = target.tool("psql", "-X", "-v", "ON_ERROR_STOP=1", *arguments)
    done = subprocess.run(tool.argv, env=tool.env, cwd=tool.cwd, check=True, capture_output=True, text=True)
    return done.stdout


# acceptance: 78
def test_several_statements(server_target: SeedTarget) -> None:
    text = "CREATE TABLE t (a int); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2), (3)"
    load(SqlStatement(name=SeedName("s"), statement=text), server_target.directory).apply(server_target)
    assert rows(server_target, "SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]


# fault: W43
class TestWhatOnlyPsqlCanDo:
    def test_a_dump_is_restored(self, server_target: SeedTarget) -> None:
        apply(
            server_target,
            a_sql="CREATE TABLE t (a serial PRIMARY KEY, b text);\n"
            "INSERT INTO t (b) VALUES ('one'), (E'two\\tthree\\\\.'), (NULL), ('\\i nope.sql');\n"
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;\n",
        )
        pg_dump = server_target._handle.tool("pg_dump", directory=server_target.directory)
        tool = server_target.tool("psql")
        done = subprocess.run(pg_dump.argv, env=tool.env, cwd=tool.cwd, check=True, capture_output=True)
        before = rows(server_target, "SELECT a, b FROM t ORDER BY a")
        apply(server_target, a_sql=b"DROP TABLE t; DROP FUNCTION f;\n" + done.stdout)
        assert rows(server_target, "SELECT a, b FROM t ORDER BY a") == before
        assert rows(server_target, "SELECT f()") == [(1,)]
        apply(server_target, a_sql="DROP TABLE t; DROP FUNCTION f;\n\\ir dump.sql\n", dump_sql=done.stdout)
        assert rows(server_target, "SELECT a, b FROM t ORDER BY a") == before

    def test_statements_that_refuse_a_transaction(self, server_target: SeedTarget) -> None:
        apply(
            server_target,
            a_sql="CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;\nCREATE DATABASE other;\n"
            "\\c other\nCREATE TABLE there (a int);\n",
        )
        assert rows(server_target, "SELECT to_regclass('i') IS NOT NULL, to_regclass('there') IS NULL") == [
            (True, True)
        ]

    def test_copy_from_a_file_beside_the_config_file(self, server_target: SeedTarget) -> None:
        apply(server_target, a_sql="CREATE TABLE t (a int);\n\\copy t from 'rows.csv' csv header\n", rows_csv="a\n1\n")
        assert rows(server_target, "SELECT a FROM t") == [(1,)]

    def test_what_a_shell_command_leaves_running_is_not_waited_for(self, server_target: SeedTarget) -> None:
        apply(server_target, a_sql="\\! sleep 300 & echo $! >pid\nCREATE TABLE t (a int);\n")
        assert rows(server_target, "SELECT a FROM t") == []
        wait_until_gone(pid_in(server_target.directory / "pid"))

    def test_large_objects_are_imported_from_beside_the_config_file(self, server_target: SeedTarget) -> None:
        apply(server_target, a_sql="\\lo_import 'logo.png' 'the logo'\n", logo_png=b"\x89PNG")
        assert rows(server_target, "SELECT lo_get(oid) FROM pg_largeobject_metadata") == [(b"\x89PNG",)]

    def test_results_are_not_shown(self, server_target: SeedTarget, capfd: pytest.CaptureFixture[str]) -> None:
        apply(server_target, a_sql="SELECT 'swordfish';\n\\echo hello\n")
        captured = capfd.readouterr()
        assert (captured.out, captured.err) == ("", "hello\n")


def test_text_is_utf_8_whatever_the_database(server_target: SeedTarget) -> None:
    apply(
        server_target,
        a_sql="CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;\n\\c old\n"
        "CREATE TABLE t AS SELECT 'ä' AS a;\n\\c postgres\nCREATE TABLE t AS SELECT 'ä' AS a;\n",
    )
    assert psql(server_target, "-d", "old", "-At", "-c", "SELECT length(a) FROM t") == "1\n"
    assert rows(server_target, "SELECT length(a) FROM t") == [(1,)]


def test_the_callers_locale_and_settings_do_not_matter(
    server_target: SeedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    monkeypatch.setenv("PSQLRC", "/nonexistent")
    monkeypatch.setenv("PG_COLOR", "always")
    apply(server_target, a_sql="CREATE TABLE t AS SELECT 'ä' AS a")
    assert rows(server_target, "SELECT length(a) FROM t") == [(1,)]
    assert failure(server_target, a_sql="\nSELECT 1/0").message == "seed 'schema': a.sql:2: ERROR: division by zero"


TREE: dict[str, str | bytes] = {
    "a_sql": b"\xef\xbb\xbfCREATE TABLE log (id serial, what text);\n"
    b"\\i sub/one.sql\n"
    b"INSERT INTO log (what) VALUES ('a1'); \\ir sub/two.sql \\\\ INSERT INTO log (what) VALUES ('a2');\n"
    b"INSERT INTO log (what) VALUES ('\n\\i nope.sql\n');\n"
    b"DO $f$ BEGIN\n/* ' */ INSERT INTO log (what) VALUES ($$\n\\i nope.sql\n$$); END $f$;\n"
    b"/* /* \n\\i nope.sql\n */ */ -- '\n"
    b"\\i 'sub/with space.sql';\n"
    b"\\if false\n\\i sub/never.sql\n\\endif\n"
    b"CREATE RULE r AS ON DELETE TO log DO ALSO (\n  INSERT INTO log (what) VALUES ('rule');\n  SELECT 1);\n"
    b"\\i sub/rows.sql\n"
    b"INSERT INTO log (what) SELECT current_setting('client_encoding')",
    "sub__one_sql": "INSERT INTO log (what) VALUES ('one')",
    "sub__two_sql": b"\xef\xbb\xbfINSERT INTO log (what) VALUES ('two');\r\n"
    b"\\ir deep/three.sql\r\n\\ir ../sub/one.sql -- x\n",
    "sub__deep__three_sql": "INSERT INTO log (what)\n  VALUES ('three'); -- ;",
    "sub__never_sql": "INSERT INTO log (what) VALUES ('never');",
    "sub__rows_sql": "COPY log (what) FROM stdin;\nrow\n\\\\i nope.sql\n\\i nope.sql\n\\.\n"
    'COPY log\n (what)\nFROM stdin (format csv);\n"two\nlines"\n',
}


def test_a_tree_of_files_means_what_it_means_to_psql(server_target: SeedTarget) -> None:
    directory = server_target.directory
    write(directory, **TREE)
    (directory / "sub" / "with space.sql").write_text("INSERT INTO log (what) VALUES ('spaced');\n")
    psql(server_target, "-f", "a.sql")
    query = "SELECT what FROM log ORDER BY id"
    expected = rows(server_target, query)
    assert len(expected) == 14
    psql(server_target, "-c", "DROP TABLE log")
    apply(server_target)
    assert rows(server_target, query) == expected


# fault: W51
def test_what_takes_longer_than_it_may_fails(server_target: SeedTarget) -> None:
    seed = SqlStatement(name=SeedName("slow"), statement="SELECT pg_sleep(300)", timeout=0.5)
    with pytest.raises(SeedFailed, match=r"^seed 'slow' did not end within 0\.5 s, its timeout$"):
        load(seed, server_target.directory).apply(server_target)
    load(replace(seed, statement="SELECT 1", timeout=60), server_target.directory).apply(server_target)


# fault: W44
class TestFailures:
    def test_the_line_and_the_statement_are_named(self, server_target: SeedTarget) -> None:
        error = failure(
            server_target,
            a_sql="CREATE TABLE t (a int);\n-- a comment\n\nINSERT INTO t -- why\n  SELECT 1\n  WHERE y;\nSELECT 1;\n",
        )
        assert error.message == "seed 'schema': a.sql:6: ERROR: column \"y\" does not exist"
        assert error.detail is not None
        assert error.detail.splitlines() == [
            "LINE 3:   WHERE y;",
            "                ^",
            "STATEMENT:",
            "  INSERT INTO t -- why",
            "    SELECT 1",
            "    WHERE y;",
        ]
        assert rows(server_target, "SELECT a FROM t") == []

    @pytest.mark.parametrize(
        ("text", "line", "problem"),
        [
            ("SELECT 1;\nSELECT 1/0;\n", 2, "ERROR: division by zero"),
            ("SELECT 1; SELECT\n 2; SELECT\n\n nope; SELECT 4;\n", 4, 'ERROR: column "nope" does not exist'),
            ("SELECT 1;\nSELECT\n nope", 3, 'ERROR: column "nope" does not exist'),
            ("SELECT 1;\nDO $$ BEGIN\n  RAISE 'no'\n    USING HINT = 'try';\nEND $$;\n", 2, "ERROR: no"),
            ("SELECT 1;\n\\nope\n", 2, "error: invalid command \\nope"),
            ("\n\\c nope\n", 2, "error: \\connect: connection to server"),
            ("SELECT 1;\nSELECT pg_terminate_backend(pg_backend_pid());\n", 2, "FATAL: terminating connection"),
            ("SELECT 1;\n\\i b.sql\nSELECT 9;\n\nSELECT nope;", 5, 'ERROR: column "nope" does not exist'),
        ],
    )
    def test_the_line_is_right(self, text: str, line: int, problem: str, server_target: SeedTarget) -> None:
        error = failure(server_target, a_sql=text, b_sql="SELECT 1\n")
        assert error.message.startswith(f"seed 'schema': a.sql:{line}: {problem}")

    def test_included_files_are_named(self, server_target: SeedTarget) -> None:
        error = failure(server_target, a_sql="SELECT 1;\n\\ir sub/b.sql\n", sub__b_sql="SELECT 1;\n\nSELECT\n  nope")
        assert error.message.startswith("seed 'schema': sub/b.sql:4: ERROR:")

    @pytest.mark.parametrize(
        ("data", "line"),
        [("1\nx\n", 5), ("1\n2\t3\n", 5), ("1\n1\n", 5)],
    )
    def test_lines_of_inline_data_are_named(self, data: str, line: int, server_target: SeedTarget) -> None:
        text = f"CREATE TABLE t (a int PRIMARY KEY);\n\nCOPY t FROM stdin;\n{data}9\n\\.\nSELECT 1;\n"
        assert f"a.sql:{line}: ERROR:" in failure(server_target, a_sql=text).message

    def test_a_foreign_key_of_inline_data(self, server_target: SeedTarget) -> None:
        text = "CREATE TABLE p (a int PRIMARY KEY);\nCREATE TABLE t (a int REFERENCES p);\nCOPY t FROM stdin;\n1\n\\.\n"
        error = failure(server_target, a_sql=text)
        assert "a.sql:3: ERROR:" in error.message
        assert error.detail is not None
        assert "DETAIL:  Key (a)=(1) is not present" in error.detail

    def test_servers_of_another_language_are_understood(self, server_target: SeedTarget) -> None:
        apply(server_target, a_sql="ALTER ROLE postgres SET lc_messages TO 'C.UTF-8'")
        assert "a.sql:1: ERROR: " in failure(server_target, a_sql="SELECT nope").message
