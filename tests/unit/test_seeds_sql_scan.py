"""What psql would take for a command, for the end of a statement, and for inline data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.seeds.sql_scan import DataFile, Event, Include, Scanner


def scan(text: bytes, scanner: Scanner | None = None) -> list[Event]:
    scanner = scanner or Scanner()
    return [event for line in text.splitlines(keepends=True) for event in scanner.feed(line)]


def files(text: bytes) -> list[bytes | None]:
    return [event.file for event in scan(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb"\i a.sql", [b"a.sql"]),
        (rb"  \ir sub/a.sql  ", [b"sub/a.sql"]),
        (rb"\include a.sql", [b"a.sql"]),
        (rb"\include_relative a.sql", [b"a.sql"]),
        (rb"\i 'with space.sql'", [b"with space.sql"]),
        (rb"\i 'it''s.sql';", [b"it's.sql"]),
        (rb"\i 'a\x62c\056sql'", [b"abc.sql"]),
        (rb"\i sub/'with space'.sql", [b"sub/with space.sql"]),
        (b"\\i a.sql;\r\n", [b"a.sql"]),
        (rb"\i a.sql -- and why", [b"a.sql"]),
        (rb"\i a.sql \i b.sql", [b"a.sql", b"b.sql"]),
        (rb"\i a.sql \\ SELECT 1; \i b.sql", [b"a.sql", b"b.sql"]),
        (rb"SELECT 1; \i a.sql", [b"a.sql"]),
        (rb"\echo 'it\'s' \i a.sql", [b"a.sql"]),
        (rb"\echo it's \i a.sql", []),
        (rb"\i", []),
        (rb"\if true", []),
        (rb"\infer a.sql", []),
        (rb"\! echo \i a.sql", []),
        (rb"SELECT '\i a.sql';", []),
        (rb"SELECT E'\'\i a.sql';", []),
        (b"SELECT 'one\n\\i a.sql\n';\n\\i b.sql", [b"b.sql"]),
        (b'SELECT "one\n\\i a.sql\n";\n\\i b.sql', [b"b.sql"]),
        (b"SELECT E'it\\'s\n\\i a.sql\n';\n\\i b.sql", [b"b.sql"]),
        (b"/* one /* two */\n\\i a.sql\n*/\n\\i b.sql", [b"b.sql"]),
        (b"-- it's\n\\i b.sql", [b"b.sql"]),
        (b"DO $$\n\\i a.sql\n$$;\n\\i b.sql", [b"b.sql"]),
        (b"DO $a$ $$ $b$\n\\i a.sql\n$a$;\n\\i b.sql", [b"b.sql"]),
        (b"SELECT a$b$c;\n\\i b.sql", [b"b.sql"]),
        (b"SELECT $1;\n\\i b.sql", [b"b.sql"]),
        (b"COPY t FROM stdin;\n\\i a.sql\n\\.\n\\i b.sql", [b"b.sql"]),
        (b"copy s.t (a, b)\n  from Stdin\n  with (format csv);\n\\i a.sql\n\\.\n\\i b.sql", [b"b.sql"]),
        (b"COPY t FROM stdin; COPY t FROM stdin;\n\\i a.sql\n\\.\n\\i a.sql\n\\.\n\\i b.sql", [b"b.sql"]),
        (b"COPY t FROM stdin \\g\n\\i a.sql\r\n\\.\r\n\\i b.sql", [b"b.sql"]),
        (b"\\copy t from stdin csv\n\\i a.sql\n\\.\n\\i b.sql", [b"b.sql"]),
        (b"COPY t TO stdout;\n\\i b.sql", [b"b.sql"]),
        (b"COPY t FROM '/stdin';\n\\i b.sql", [b"b.sql"]),
        (b"COPY (SELECT a FROM stdin) TO stdout;\n\\i b.sql", [b"b.sql"]),
        (b"INSERT INTO copy SELECT 1 FROM stdin;\n\\i b.sql", [b"b.sql"]),
        (b"\\restrict x\n\\i a.sql\n\\copy t from b.csv\n\\unrestrict x\n\\i b.sql", [b"b.sql"]),
    ],
)
def test_includes_are_found_where_psql_sees_them(text: bytes, expected: list[bytes]) -> None:
    assert files(text) == expected


@pytest.mark.parametrize("name", [rb":dir/a.sql", rb":'file'", rb"sub/:{?x}", rb"`ls`", rb"'a'`b`"])
def test_a_name_that_only_psql_knows_is_not_guessed(name: bytes) -> None:
    assert files(b"\\i " + name) == [None]


@pytest.mark.parametrize("name", [rb"c:\a", rb"a:.sql", rb"':a'"])
def test_a_colon_alone_is_no_variable(name: bytes) -> None:
    assert files(b"\\i " + name) != [None]


def test_an_include_knows_its_place_in_the_line() -> None:
    line = b"SELECT 1; \\ir a.sql \\\\ SELECT 2;\n"
    (event,) = scan(line)
    assert isinstance(event, Include)
    assert event.relative
    assert (line[: event.start], line[event.end :]) == (b"SELECT 1; ", b" SELECT 2;\n")


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (b"SELECT 1;\n\\i a", False),
        (b"-- SELECT\n/* SELECT */\n\\i a", False),
        (b"SELECT 1\n\\i a", True),
        (b"SELECT (1;\n\\i a", True),
        (b"SELECT 1 \\gset\n\\i a", False),
        (b"SELECT (1 \\r\n\\i a", False),
        (b"SELECT 1 \\; SELECT 2\n\\i a", True),
        (b"COPY t FROM stdin; \\i a", True),
    ],
)
def test_an_include_knows_whether_a_statement_waits(text: bytes, inside: bool) -> None:
    assert [event.inside_statement for event in scan(text) if isinstance(event, Include)] == [inside]


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (rb"\copy t from 'a b.csv' csv header", b"a b.csv"),
        (rb"\copy t (a, b) FROM a.csv with (format csv)", b"a.csv"),
        (rb"\copy t from a.csv;", b"a.csv"),
        (rb"\copy t from 'it''s.csv'", b"it's.csv"),
        (rb"""\copy "from" from a.csv""", b"a.csv"),
        (rb"\copy t from 'stdin'", b"stdin"),
        (rb"\copy t to a.csv", None),
        (rb"\copy (select a from t) to a.csv", None),
        (rb"\copy t from program 'cat a.csv'", None),
        (rb"\copy t from pstdin", None),
        (rb"SELECT '\copy t from a.csv';", None),
    ],
)
def test_files_that_copy_reads_are_found(text: bytes, file: bytes | None) -> None:
    assert scan(text) == ([] if file is None else [DataFile(file=file)])


@pytest.mark.parametrize(
    ("text", "files"),
    [
        (rb"\lo_import a.png", [b"a.png"]),
        (rb"\lo_import 'a b.png' 'its comment'; SELECT 1;", [b"a b.png"]),
        (rb"\lo_import a.png \\ \lo_import b.png", [b"a.png", b"b.png"]),
        (rb"\lo_import :name", [None]),
        (rb"\lo_import", []),
        (rb"\lo_export 1234 a.png", []),
        (rb"SELECT '\lo_import a.png';", []),
        (b"\\restrict x\n\\lo_import a.png", []),
    ],
)
def test_files_that_become_large_objects_are_found(text: bytes, files: list[bytes | None]) -> None:
    assert scan(text) == [DataFile(file=file) for file in files]


@pytest.mark.parametrize(
    ("text", "ending", "unclosed"),
    [
        (b"SELECT 1;", b"", None),
        (b"SELECT 1", b";\n", None),
        (b"SELECT 1 -- why", b";\n", None),
        (b"SELECT (1", b"\\g\n", None),
        (b"-- SELECT 1", b"", None),
        (b"COPY t FROM stdin;\n1\n", b"\\.\n", None),
        (b"COPY t FROM stdin;\n1\n\\.\n", b"", None),
        (b"SELECT 'a", b";\n", "a string"),
        (b"SELECT e'a\\'", b";\n", "a string"),
        (b'SELECT "a', b";\n", "a quoted identifier"),
        (b"/* /* */", b"", "a comment"),
        (b"DO $x$ BEGIN", b";\n", "a dollar-quoted string"),
    ],
)
def test_what_is_left_open_at_the_end(text: bytes, ending: bytes, unclosed: str | None) -> None:
    scanner = Scanner()
    scan(text, scanner)
    assert (scanner.ending, scanner.unclosed) == (ending, unclosed)


_PIECES = st.sampled_from(
    (
        *" \n;()'\"\\$x1,.=é",
        *("E'", "$$", "$a$", "--", "/*", "*/", "''", ":x"),
        *("COPY ", " FROM ", " stdin", "SELECT ", "\\i a\n", "\\g", "\\;", "\n\\.\n"),
    )
)


@given(st.lists(_PIECES, max_size=40))
def test_looking_at_a_line_at_once_changes_nothing(pieces: list[str]) -> None:
    class Closely(Scanner):
        def _simple(self, line: bytes) -> bool:  # noqa: ARG002 -- one signature
            return False

    once, closely = Scanner(), Closely()
    for line in "".join(pieces).encode().splitlines(keepends=True):
        assert once.feed(line) == closely.feed(line)
        assert (once.in_data, once.ending, once.unclosed) == (closely.in_data, closely.ending, closely.unclosed)
