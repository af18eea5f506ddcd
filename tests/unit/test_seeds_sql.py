"""SQL seeds without a server: what enters their key, what psql is fed, and what becomes of its complaints."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.chain import BaseIdentity, CacheKey, ClusterInputs, RootInputs, make_chain
from pg_ephemeral.errors import SeedFailed, SeedLoadError
from pg_ephemeral.pipes import Take
from pg_ephemeral.seeds.base import LoadedSeed, Seed, SeedName
from pg_ephemeral.seeds.sql import SqlFile, SqlStatement
from pg_ephemeral.seeds.sql_place import FilePlace, TextPlace
from pg_ephemeral.seeds.sql_text import Reading
from support.seed_target import FakeTarget, load, write

NAME = SeedName("schema")


def sql_file(path: str = "a.sql") -> SqlFile:
    return SqlFile(name=NAME, path=Path(path))


def statement(text: str) -> SqlStatement:
    return SqlStatement(name=NAME, statement=text)


def fed(seed: Seed, directory: Path) -> str:
    """What psql would be fed."""
    target = FakeTarget(directory=directory)
    load(seed, directory).apply(target)
    return str(target.recorded["stdin"])


def key(loaded: LoadedSeed) -> CacheKey | None:
    identity = BaseIdentity(fields={}, platform="linux/amd64", version="18.0")
    cluster = ClusterInputs(identity=identity, superuser="postgres", database="postgres")
    return make_chain(cluster, RootInputs(parameters={}, test_profile=True, tls=None), [loaded]).stages[0].key


class TestKey:
    def test_it_is_the_text_and_not_the_path(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="SELECT 1;\n", db__b_sql="SELECT 1;\n", c_sql="SELECT 2;\n")
        assert load(sql_file(), tmp_path).inputs == {"sql": hashlib.sha256(b"SELECT 1;\n").hexdigest()}
        assert load(sql_file(), tmp_path).inputs == load(sql_file("db/b.sql"), tmp_path).inputs
        assert load(sql_file(), tmp_path).inputs != load(sql_file("c.sql"), tmp_path).inputs

    # fault: W14
    def test_kinds_with_one_text_differ(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="true")
        assert key(load(sql_file(), tmp_path)) != key(load(statement("true"), tmp_path))

    def test_includes_are_part_of_it(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\\ir sub/b.sql\n", sub__b_sql="SELECT 1;\n")
        before = load(sql_file(), tmp_path).inputs
        write(tmp_path, sub__b_sql="SELECT 2;\n")
        assert load(sql_file(), tmp_path).inputs != before

    def test_files_that_copy_reads_are_part_of_it(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\\copy t from 'rows.csv' csv\n", rows_csv="1\n")
        before = load(sql_file(), tmp_path).inputs
        assert before is not None
        assert before["copies"] == {"rows.csv": hashlib.sha256(b"1\n").hexdigest()}
        write(tmp_path, rows_csv="2\n")
        assert load(sql_file(), tmp_path).inputs != before

    def test_so_are_files_that_become_large_objects(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\\lo_import 'logo.png' 'a comment' \\\\ SELECT 1;\n", logo_png="1")
        loaded = load(sql_file(), tmp_path)
        assert loaded.inputs is not None
        assert loaded.inputs["copies"] == {"logo.png": hashlib.sha256(b"1").hexdigest()}
        assert loaded.reads_files

    def test_a_large_object_only_psql_knows_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\n\\lo_import :file\n")
        with pytest.raises(SeedLoadError, match=r"^seed .*: a\.sql:2: only psql can know the name of this file"):
            load(sql_file(), tmp_path)

    def test_it_is_none_behind_a_seed_that_is_not_cached(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="SELECT 1;\n")
        assert load(sql_file(), tmp_path, cacheable=False).inputs is None


class TestText:
    def test_a_statement_is_fed_as_it_is(self, tmp_path: Path) -> None:
        assert fed(statement("SELECT 'ä';\nSELECT 2"), tmp_path) == "SELECT 'ä';\nSELECT 2"

    # fault: W43
    def test_psql_is_told_to_stop_at_the_first_error(self, tmp_path: Path) -> None:
        target = FakeTarget(directory=tmp_path)
        load(statement("SELECT 1"), tmp_path).apply(target)
        given = target.recorded
        assert given["argv"] == ["-X", "-q", "-b", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", "-"]
        assert given["cwd"] == str(tmp_path)
        assert given["env"]["PGCLIENTENCODING"] == "UTF8"
        assert given["env"]["LC_ALL"] == "C"

    def test_includes_are_put_in_place(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            a_sql="SELECT 1;\n\\ir sub/b.sql\nSELECT 5; \\i 'c d.sql' \\\\ SELECT 7;\nSELECT 8;",
            sub__b_sql="SELECT 2;\n\\ir b2.sql\n\\i sub/b3.sql\n",
            sub__b2_sql="SELECT 3;\n",
            sub__b3_sql="SELECT 4;",
        )
        (tmp_path / "c d.sql").write_text("SELECT 6;")
        lines = fed(sql_file(), tmp_path).splitlines()
        assert [line.strip() for line in lines] == [f"SELECT {number};" for number in range(1, 9)]

    @pytest.mark.parametrize(
        ("included", "expected"),
        [
            ("SELECT 1", "SELECT 1\n;\nSELECT 2;\n"),
            ("SELECT 1 -- one", "SELECT 1 -- one\n;\nSELECT 2;\n"),
            ("SELECT (1\n", "SELECT (1\n\\g\nSELECT 2;\n"),
            ("COPY t FROM stdin;\n1\n", "COPY t FROM stdin;\n1\n\\.\nSELECT 2;\n"),
            ("", "SELECT 2;\n"),
            ("-- nothing", "-- nothing\nSELECT 2;\n"),
        ],
    )
    def test_the_end_of_an_included_file_is_the_end_of_its_statement(
        self, included: str, expected: str, tmp_path: Path
    ) -> None:
        write(tmp_path, a_sql="\\i b.sql\nSELECT 2;\n", b_sql=included)
        assert fed(sql_file(), tmp_path) == expected

    def test_byte_order_marks_are_dropped_from_every_file(self, tmp_path: Path) -> None:
        write(
            tmp_path, a_sql=b"\xef\xbb\xbf\\i b.sql\n", b_sql=b"\xef\xbb\xbfSELECT 1;\n", c_sql=b"\xef\xbb\xbfSELECT 1;"
        )
        assert fed(sql_file(), tmp_path) == "SELECT 1;\n"
        assert fed(sql_file("c.sql"), tmp_path) == "SELECT 1;"

    # fault: W50
    def test_compressed_files_are_read(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\\i b.sql.gz\n", b_sql_gz=gzip.compress(b"SELECT 1;\n"))
        assert fed(sql_file(), tmp_path) == "SELECT 1;\n"
        assert fed(sql_file("b.sql.gz"), tmp_path) == "SELECT 1;\n"

    def test_a_command_across_two_chunks_is_found(self, tmp_path: Path) -> None:
        write(tmp_path, b_sql="SELECT 1;\n")
        for offset in range(8):
            write(tmp_path, a_sql=("-" * ((1 << 18) - offset - 1)) + "\n\\ir b.sql\n")
            assert fed(sql_file(), tmp_path).endswith("-\nSELECT 1;\n")

    @given(st.binary(max_size=200).map(lambda noise: noise.replace(b"\\", b"\\\\ ")))
    def test_text_without_commands_is_never_changed(self, noise: bytes) -> None:
        text = b"SELECT 1;" + noise
        place = TextPlace(text=text.decode("latin1"), directory=Path())
        for by_lines in (False, True):
            reading = Reading(place, seed="x", directory=Path(), by_lines=by_lines)
            assert b"".join(reading) == text.decode("latin1").encode()


class TestLoadErrors:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("SELECT 1;\n\\i nope.sql", "a.sql:2: cannot read nope.sql: No such file or directory"),
            ("\\ir ../x/nope.sql", "a.sql:1: cannot read ../x/nope.sql: No such file or directory"),
            ("\n\\copy t from nope.csv", "a.sql:2: cannot read nope.csv: No such file or directory"),
            ("\\i :file", "a.sql:1: only psql can know the name of this file"),
            ("SELECT\n\\i b.sql\n;", "a.sql:2: a file is included inside a statement"),
            ("\\i a.sql", "a.sql:1: a.sql is included by itself"),
            ("\\i b.sql", "b.sql:1: a.sql is included by itself"),
            ("\\i open.sql", "open.sql: the file ends within a string"),
            ("\\i .", "a.sql:1: cannot read .: Is a directory"),
        ],
    )
    def test_they_name_seed_file_and_line(self, text: str, problem: str, tmp_path: Path) -> None:
        write(tmp_path, a_sql=text, b_sql="\\i ./sub/../a.sql\n", open_sql="SELECT 'a\n")
        (tmp_path / "sub").mkdir()
        with pytest.raises(SeedLoadError) as caught:
            load(sql_file(), tmp_path)
        assert caught.value.message.startswith(f"seed 'schema': {problem}")
        assert caught.value.seed == "schema"

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(SeedLoadError, match=r"seed 'schema': cannot read db/a\.sql: No such file"):
            load(sql_file("db/a.sql"), tmp_path)

    @pytest.mark.parametrize(
        ("beginning", "problem"),
        [
            (b"PGDMP\x01\x0e", "custom format"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"BZh91AY", "bzip2"),
            (b"\xfd7zXZ\0", "xz"),
            ("SELECT 1;".encode("utf-16"), "UTF-16"),
            (gzip.compress(b"x" * 1000, mtime=0)[:20], "cannot read a.sql"),
            (gzip.compress(b"PGDMP", mtime=0), "custom format"),
        ],
    )
    def test_what_is_no_sql_text_is_refused_at_once(self, beginning: bytes, problem: str, tmp_path: Path) -> None:
        write(tmp_path, a_sql=beginning, b_sql="\\i a.sql")
        for path in ("a.sql", "b.sql"):
            with pytest.raises(SeedLoadError, match=problem):
                load(sql_file(path), tmp_path)


class TestChangedMeanwhile:
    @pytest.mark.parametrize("changed", ["a.sql", "b.sql", "rows.csv"])
    def test_nothing_is_kept_of_it(self, changed: str, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\\i b.sql\n\\copy t from rows.csv\n", b_sql="SELECT 1;\n", rows_csv="1\n")
        loaded = load(sql_file(), tmp_path)
        path = tmp_path / changed
        path.write_text(path.read_text() + "\n")
        with pytest.raises(SeedFailed, match=r"a\.sql changed while it was being applied"):
            loaded.apply(FakeTarget(directory=tmp_path))

    def test_a_file_that_is_gone_fails_the_seed(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="SELECT 1;\n")
        loaded = load(sql_file(), tmp_path)
        (tmp_path / "a.sql").unlink()
        with pytest.raises(SeedFailed, match=r"cannot read a\.sql"):
            loaded.apply(FakeTarget(directory=tmp_path))


class TestFailures:
    def failure(self, text: str, stderr: str, directory: Path, *, status: int = 3) -> SeedFailed:
        write(directory, a_sql=text)
        with pytest.raises(SeedFailed) as caught:
            load(sql_file(), directory).apply(FakeTarget(directory=directory, stderr=stderr, status=status))
        assert caught.value.seed == "schema"
        return caught.value

    # fault: W44
    def test_the_line_is_the_one_the_server_points_at(self, tmp_path: Path) -> None:
        stderr = (
            "psql:<stdin>:2: NOTICE:  hello\nmulti\n"
            'psql:<stdin>:5: ERROR:  column "y" does not exist\n'
            "LINE 2:   VALUES (y);\n                  ^\n"
            "HINT:  Perhaps you meant x.\n"
            "psql:<stdin>:5: STATEMENT:  INSERT INTO t\n  VALUES (y);\n"
        )
        error = self.failure("SELECT 1;\nSELECT 2;\n\nINSERT INTO t\n  VALUES (y);\n", stderr, tmp_path)
        assert error.message == "seed 'schema': a.sql:5: ERROR: column \"y\" does not exist"
        assert error.detail is not None
        assert error.detail.splitlines() == [
            "LINE 2:   VALUES (y);",
            "                  ^",
            "HINT:  Perhaps you meant x.",
            "STATEMENT:",
            "  INSERT INTO t",
            "    VALUES (y);",
        ]

    def test_without_a_position_it_is_the_statements_first(self, tmp_path: Path) -> None:
        stderr = (
            "psql:<stdin>:4: ERROR:  division by zero\n"
            "CONTEXT:  PL/pgSQL function inline_code_block line 2 at PERFORM\n"
            "psql:<stdin>:4: STATEMENT:  DO $x$ BEGIN\n PERFORM 1/0;\nEND $x$;\n"
        )
        error = self.failure("SELECT 1;\nDO $x$ BEGIN\n PERFORM 1/0;\nEND $x$;\n", stderr, tmp_path)
        assert error.message == "seed 'schema': a.sql:2: ERROR: division by zero"

    def test_a_line_of_an_included_file_is_named_as_such(self, tmp_path: Path) -> None:
        write(tmp_path, sub__b_sql="SELECT 1;\n\nSELECT nope;\n")
        stderr = (
            'psql:<stdin>:4: ERROR:  column "nope" does not exist\nLINE 1: SELECT nope;\n'
            "psql:<stdin>:4: STATEMENT:  SELECT nope;\n"
        )
        error = self.failure("SELECT 0;\n\\ir sub/b.sql\nSELECT 9;\n", stderr, tmp_path)
        assert error.message.startswith("seed 'schema': sub/b.sql:3: ERROR:")
        later = stderr.replace(":4:", ":5:")
        assert "a.sql:3: ERROR:" in self.failure("SELECT 0;\n\\ir sub/b.sql\nSELECT 9;\n", later, tmp_path).message

    @pytest.mark.parametrize(
        ("context", "line"), [('CONTEXT:  COPY t, line 2, column a: "x"\n', 6), ("DETAIL:  Key is not present.\n", 4)]
    )
    def test_inline_data_is_found_by_its_own_line(self, context: str, line: int, tmp_path: Path) -> None:
        text = "SELECT 1;\nCOPY t\n  FROM stdin\n;\n1\nx\n3\n\\.\nSELECT 2;\n"
        stderr = f"psql:<stdin>:8: ERROR:  it is wrong\n{context}psql:<stdin>:8: STATEMENT:  COPY t\n  FROM stdin\n;\n"
        assert f"a.sql:{line}: ERROR: it is wrong" in self.failure(text, stderr, tmp_path).message

    def test_files_without_a_last_line_end_shift_nothing(self, tmp_path: Path) -> None:
        write(tmp_path, a_sql="\\i b.sql\nSELECT 2;\n\\i c.sql", b_sql="\\i c.sql", c_sql="SELECT 1")
        reading = Reading(FilePlace(path=Path("a.sql"), directory=tmp_path), seed="x", directory=tmp_path)
        lines = b"".join(reading).splitlines()
        assert [(line, *reading.origin(number)) for number, line in enumerate(lines, start=1)] == [
            (b"SELECT 1", "c.sql", 1),
            (b";", "c.sql", 2),
            (b"SELECT 2;", "a.sql", 2),
            (b"SELECT 1", "c.sql", 1),
            (b";", "c.sql", 2),
        ]

    def test_complaints_of_psql_itself(self, tmp_path: Path) -> None:
        error = self.failure("SELECT 1;\n\\nope\n", "psql:<stdin>:2: error: invalid command \\nope\n", tmp_path)
        assert error.message == "seed 'schema': a.sql:2: error: invalid command \\nope"

    def test_a_dump_too_new_for_this_psql(self, tmp_path: Path) -> None:
        error = self.failure("\\restrict x\n", "psql:<stdin>:1: error: invalid command \\restrict\n", tmp_path)
        assert error.hint is not None
        assert "older" in error.hint

    def test_a_lost_connection_is_told_by_its_cause(self, tmp_path: Path) -> None:
        stderr = (
            "psql:<stdin>:2: FATAL:  terminating connection due to administrator command\n"
            "psql:<stdin>:2: server closed the connection unexpectedly\n\tThis probably means the server terminated\n"
            "psql:<stdin>:2: error: connection to server was lost\n"
        )
        error = self.failure("SELECT 1;\nSELECT 2;\n", stderr, tmp_path, status=2)
        assert error.message == "seed 'schema': a.sql:2: FATAL: terminating connection due to administrator command"

    def test_no_connection_at_all(self, tmp_path: Path) -> None:
        stderr = "psql: error: connection to server failed: No such file or directory\n\tIs the server running?\n"
        error = self.failure("SELECT 1;", stderr, tmp_path, status=2)
        assert error.message == "seed 'schema': a.sql: psql: connection to server failed: No such file or directory"

    def test_silence(self, tmp_path: Path) -> None:
        assert self.failure("SELECT 1;", "", tmp_path, status=1).message.endswith("psql failed: exit status 1")

    def test_a_huge_statement_is_cut(self, tmp_path: Path) -> None:
        rows = "\n".join(f"({row})," for row in range(1000))
        pointed = f"LINE 1: INSERT {'x' * 5000}"
        stderr = f"psql:<stdin>:1001: ERROR:  no\n{pointed}\npsql:<stdin>:1001: STATEMENT:  INSERT\n{rows}\n"
        error = self.failure(f"INSERT\n{rows}", stderr, tmp_path)
        assert error.detail is not None
        assert len(error.detail) < 2000
        assert "1001 lines" in error.detail
        assert "a.sql:1: " in error.message

    def test_notices_are_no_failure(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", logger="pg_ephemeral")
        write(tmp_path, a_sql="SELECT 1;")
        load(sql_file(), tmp_path).apply(FakeTarget(directory=tmp_path, stderr="psql:<stdin>:1: NOTICE:  hello\n"))
        assert "hello" in caplog.text

    @pytest.mark.parametrize(
        ("text", "fed"),
        [
            ("SELECT 1;\n", True),
            ("", True),
            ("-- " + "x" * 100_000, False),
            ("SELECT 1;\n" * 10_000, False),
        ],
        ids=["short", "empty", "long-line", "many-lines"],
    )
    def test_a_short_text_goes_the_fast_way_where_there_is_one(self, tmp_path: Path, text: str, fed: bool) -> None:
        class Fast(FakeTarget):
            given: ClassVar[list[bytes]] = []

            def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:
                assert (name, arguments[-2:], timeout) == ("psql", ("-f", "-"), None)
                line(b"psql:<stdin>:1: ERROR:  it is wrong\n")
                self.given.append(text)
                return 3

        Fast.given.clear()
        target = Fast(directory=tmp_path)
        if fed:
            with pytest.raises(SeedFailed, match="ERROR: it is wrong"):
                load(statement(text), tmp_path).apply(target)
        else:
            load(statement(text), tmp_path).apply(target)
            assert target.recorded["stdin"].rstrip("\n;") == text.rstrip("\n;")
        assert [given.rstrip(b"\n;") for given in Fast.given] == ([text.encode().rstrip(b"\n;")] if fed else [])

    def test_a_short_text_that_has_changed_is_not_begun(self, tmp_path: Path) -> None:
        class Fast(FakeTarget):
            def feed(self, *_arguments: str, **_how: object) -> int | None:
                raise AssertionError

        write(tmp_path, a_sql="SELECT 1;")
        loaded = load(sql_file(), tmp_path)
        write(tmp_path, a_sql="SELECT 2;")
        with pytest.raises(SeedFailed, match="changed while it was being applied"):
            loaded.apply(Fast(directory=tmp_path))

    def test_a_psql_that_is_missing_fails_the_seed(self, tmp_path: Path) -> None:
        from pg_ephemeral.process import Invocation

        class Bare(FakeTarget):
            def tool(self, name: str, *arguments: str) -> Invocation:
                return Invocation(argv=(str(tmp_path / name), *arguments), env={})

        with pytest.raises(SeedFailed, match=r"seed 'schema': cannot run .*psql"):
            load(statement("SELECT 1"), tmp_path).apply(Bare(directory=tmp_path))
