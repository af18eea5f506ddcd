"""CSV seeds without a server: headers, encodings, the COPY statement, and what enters the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pg_ephemeral.errors import InvalidValue, SeedFailed, SeedLoadError
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.csv import CsvFile, LoadedCsv
from pg_ephemeral.seeds.csv_ends import quoted_ends
from pg_ephemeral.seeds.encodings import python_encoding
from support.seed_target import FakeTarget, load, write

PLAIN = CsvFile(name=SeedName("rows"), path=Path("rows.csv"), table="t")


def loaded(content: str | bytes, directory: Path, **options: Any) -> LoadedCsv:
    write(directory, rows_csv=content)
    found = load(replace(PLAIN, **options), directory)
    assert isinstance(found, LoadedCsv)
    return found


# fault: W49
class TestHeader:
    @pytest.mark.parametrize(
        ("content", "columns"),
        [
            ("id,name\n1,a\n", ("id", "name")),
            ("id", ("id",)),
            ("id, name ,x\r\n", ("id", "name", "x")),
            ('"id","full name"\n', ("id", "full name")),
            ('"a,b","c ""d"""\n', ("a,b", 'c "d"')),
            ('"two\nlines",x\n1,2\n', ("two\nlines", "x")),
            (b'\xef\xbb\xbf"id",name\n', ("id", "name")),
            ("größe,名前\n", ("größe", "名前")),
        ],
    )
    def test_it_is_read_by_the_rules_of_csv(
        self, content: str | bytes, columns: tuple[str, ...], tmp_path: Path
    ) -> None:
        assert loaded(content, tmp_path).columns == columns

    @pytest.mark.parametrize(
        ("options", "content"),
        [
            ({"delimiter": ";"}, b"a;b\n"),
            ({"delimiter": "\t"}, b"a\tb\n"),
            ({"quote": "'"}, b"'a','b'\n"),
            ({"encoding": "LATIN1"}, "a,b\n".encode("latin1")),
            ({"encoding": "utf-16"}, "a,b\n".encode("utf-16")),
            ({"encoding": "utf-16-le"}, "\ufeffa,b\n".encode("utf-16-le")),
            ({"encoding": "utf-8-sig"}, "\ufeffa,b\n".encode()),
        ],
    )
    def test_dialects(self, options: dict[str, str], content: bytes, tmp_path: Path) -> None:
        assert loaded(content, tmp_path, **options).columns == ("a", "b")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("", "1: there is no header"),
            ("\na,b\n", "1: there is no header"),
            ("a,,b\n", "1: the name of a column is empty"),
            ("a,b,a\n", "1: column 'a' comes twice"),
            ("x" * 64 + "\n", "1: the name of a column has 64 bytes"),
            ('"a"b,c\n', "1: "),
            ("a\nx\ngrün\n".encode("latin1"), "3: not utf-8: "),
        ],
    )
    def test_errors_name_seed_and_line(self, content: str | bytes, problem: str, tmp_path: Path) -> None:
        with pytest.raises(SeedLoadError) as caught:
            loaded(content, tmp_path)
        assert caught.value.message.startswith(f"seed 'rows': rows.csv:{problem}")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(SeedLoadError, match=r"seed 'rows': cannot read rows\.csv: No such file"):
            load(PLAIN, tmp_path)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"delimiter": ""}, "invalid-delimiter"),
        ({"delimiter": ";;"}, "invalid-delimiter"),
        ({"delimiter": "→"}, "invalid-delimiter"),
        ({"delimiter": "\n"}, "invalid-delimiter"),
        ({"delimiter": '"'}, "invalid-delimiter"),
        ({"quote": ""}, "invalid-quote"),
        ({"null": "a,b"}, "invalid-null"),
        ({"null": 'a"b'}, "invalid-null"),
        ({"null": "\n"}, "invalid-null"),
        ({"encoding": "klingon"}, "invalid-encoding"),
        ({"encoding": "base64"}, "invalid-encoding"),
        ({"encoding": "SQL_ASCII"}, "invalid-encoding"),
        ({"table": ""}, "empty"),
        ({"schema": "x" * 64}, "too-long"),
    ],
)
def test_a_value_that_copy_would_refuse_is_refused_first(options: dict[str, Any], kind: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        replace(PLAIN, **options)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (("utf-8", "UTF8", "utf_8", "UNICODE"), "utf-8"),
        (("LATIN1", "iso-8859-1", "latin-1"), "iso8859-1"),
        (("LATIN9", "iso8859-15"), "iso8859-15"),
        (("WIN1252", "windows-1252", "cp1252"), "cp1252"),
        (("KOI8R", "koi8-r"), "koi8-r"),
        (("EUC_JP",), "euc_jp"),
        (("UHC",), "cp949"),
        (("GB18030",), "gb18030"),
        (("ISO_8859_5",), "iso8859-5"),
    ],
)
def test_encodings_go_by_either_name(names: tuple[str, ...], encoding: str) -> None:
    assert {python_encoding(name) for name in names} == {encoding}


def test_the_statement_quotes_everything(tmp_path: Path) -> None:
    found = loaded("a'\"b;c\n", tmp_path, schema='s"x', table="T", delimiter=";", quote="'", null="\\N")
    assert found.columns == ("a'\"b", "c")
    assert found.statement == (
        'COPY "s""x"."T" ("a\'""b", "c") FROM STDIN (FORMAT csv, HEADER true, '
        "DELIMITER ';', NULL E'\\\\N', QUOTE '''', ESCAPE '''', ENCODING 'UTF8')"
    )


# fault: W14
@pytest.mark.parametrize(
    "options",
    [{"schema": "s"}, {"table": "u"}, {"delimiter": ";"}, {"null": "x"}, {"quote": "'"}, {"encoding": "latin1"}],
)
def test_everything_it_depends_on_is_in_the_key(options: dict[str, str], tmp_path: Path) -> None:
    before = loaded("a\n1\n", tmp_path)
    assert loaded("a\n1\n", tmp_path, **options).inputs != before.inputs
    assert loaded("a\n2\n", tmp_path).inputs != before.inputs
    assert load(PLAIN, tmp_path, cacheable=False).inputs is None


def test_two_names_of_an_encoding_are_one_in_the_key(tmp_path: Path) -> None:
    assert loaded("a\n", tmp_path, encoding="UTF8").inputs == loaded("a\n", tmp_path).inputs


class TestEnds:
    """Lines that end the data for older servers."""

    @pytest.mark.parametrize(
        ("content", "options", "sent"),
        [
            ("a\n1\n\\.\n2\n", {}, 'a\n1\n"\\".\n2\n'),
            ("a\r\n\\.\r\n\\.", {}, 'a\r\n"\\".\r\n"\\".'),
            ("a\n\\. \n \\.\n\\.x\n\\\n", {}, "a\n\\. \n \\.\n\\.x\n\\\n"),
            ('a\n"x\n\\.\ny"\n', {}, 'a\n"x\n"\\".\ny"\n'),
            ("a\n\\.\n", {"quote": "'"}, "a\n'\\'.\n"),
            ("a\\b\n\\.\n", {"delimiter": "\\"}, 'a\\b\n\\"."\n'),
        ],
    )
    def test_they_are_quoted(self, content: str, options: dict[str, str], sent: str) -> None:
        dialect = {"quote": '"', "delimiter": ",", **options}
        assert b"".join(quoted_ends([content.encode()], **dialect)) == sent.encode()

    @given(st.lists(st.text(st.sampled_from('\\.\r\nx"'), max_size=5), max_size=12))
    def test_whatever_the_pieces(self, pieces: list[str]) -> None:
        def quoted(pieces: list[str]) -> bytes:
            return b"".join(quoted_ends([piece.encode() for piece in pieces], quote='"', delimiter=","))

        whole = "".join(pieces)
        assert quoted(pieces) == quoted([whole])
        assert [line.replace('"\\".', "\\.") for line in re.split("[\r\n]", quoted(pieces).decode())] == [
            line.replace('"\\".', "\\.") for line in re.split("[\r\n]", whole)
        ]
        assert "\\." not in re.split("[\r\n]", quoted(pieces).decode())


class TestContent:
    @given(
        text=st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\r"), max_size=50),
        encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "gb18030"]),
        mark=st.sampled_from(["", "\ufeff"]),
    )
    def test_it_is_sent_as_utf_8(
        self, tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str, mark: str
    ) -> None:
        content = f"{mark}a\n{text}".encode(encoding)
        found = loaded(content, tmp_path_factory.mktemp("csv"), encoding=encoding)
        assert b"".join(found._chunks()) == f"a\n{text}".encode()

    def test_large_files_are_sent_in_pieces(self, tmp_path: Path) -> None:
        content = "a\n" + "ä\n" * 400_000
        for encoding in ("utf-8", "latin1"):
            pieces = list(loaded(content.encode(encoding), tmp_path, encoding=encoding)._chunks())
            assert len(pieces) > 2
            assert b"".join(pieces) == content.encode()

    def test_a_change_in_between_fails_before_the_end(self, tmp_path: Path) -> None:
        found = loaded("a\n1\n", tmp_path)
        write(tmp_path, rows_csv="a\n2\n")
        with pytest.raises(SeedFailed, match=r"rows\.csv: the file changed while it was being loaded"):
            list(found._chunks())

    def test_what_cannot_be_decoded_is_found_by_its_line(self, tmp_path: Path) -> None:
        content = b"a\n" + b"x\n" * 300_000 + b"\x81\n"
        with pytest.raises(SeedFailed, match=r"seed 'rows': rows\.csv:300002: not win1252: "):
            list(loaded(content, tmp_path, encoding="win1252")._chunks())

    def test_a_server_that_is_not_there_fails_the_seed(self, tmp_path: Path) -> None:
        with pytest.raises(SeedFailed, match=r"seed 'rows': rows\.csv: .*refused"):
            loaded("a\n1\n", tmp_path).apply(FakeTarget(directory=tmp_path))
