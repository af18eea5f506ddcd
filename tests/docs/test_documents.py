"""README, docs and examples do what they show: their blocks are run, and their links lead somewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support import documents
from support.documents import ROOT, Block, blocks

_RUN = {"python", "toml", "console"}


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.needs("embedded")
@pytest.mark.parametrize(
    "document", [one for one in documents.documents() if any(b.language in _RUN for b in blocks(one))], ids=_name
)
def test_blocks_run(document: Path, tmp_path: Path, warm_cache: Path):
    directory = tmp_path / "here"
    if document.is_relative_to(ROOT / "examples"):
        shutil.copytree(document.parent, directory)
    else:
        directory.mkdir()
    for block in blocks(document):
        documents.run(block, directory, documents.environment(warm_cache))


@pytest.mark.parametrize("document", documents.documents(), ids=_name)
def test_links_lead_somewhere(document: Path):
    missing = [target for target in documents.links(document) if not (document.parent / target).exists()]
    assert missing == []


def test_blocks_are_found_with_their_comments(tmp_path: Path):
    document = tmp_path / "document.md"
    document.write_text(
        "one\n<!-- file: a/b.sql -->\n```sql\nSELECT 1;\n```\n\n<!-- not run: no terminal -->\n\n```console\n$ x\n```\n"
    )
    assert list(blocks(document)) == [
        Block(language="sql", text="SELECT 1;\n", line=3, file="a/b.sql"),
        Block(language="console", text="$ x\n", line=9, not_run="no terminal"),
    ]


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("$ echo one\none\n", True),
        ("$ printf 'one\\ntwo\\nthree\\n'\none\n...\nthree\n", True),
        ("$ echo one\n$ echo two\ntwo\n", True),
        ("$ echo one &&\n> echo two\none\ntwo\n", True),
        ("$ echo one\ntwo\n", False),
        ("$ echo one more\none\n", False),
        ("$ false\n", False),
        ("$ echo 'error: no' >&2; exit 3\nerror: no\n", True),
        ("$ echo 'error: no' >&2\nerror: no\n", False),
    ],
)
def test_a_console_block_holds_only_when_it_is_true(text: str, fine: bool, tmp_path: Path):
    block = Block(language="console", text=text, line=1)
    if fine:
        documents.run(block, tmp_path, documents.environment(tmp_path))
    else:
        with pytest.raises(AssertionError, match="line 1"):
            documents.run(block, tmp_path, documents.environment(tmp_path))
