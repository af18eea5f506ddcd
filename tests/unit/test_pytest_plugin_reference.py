"""The reference of the plugin names every fixture and option, and no others."""

from __future__ import annotations

import re

from pg_ephemeral.pytest_plugin import _INI, fixtures
from support.documents import ROOT

_REFERENCE = (ROOT / "docs" / "reference" / "pytest.md").read_text(encoding="utf-8")


def _code_of_first_column(heading: str) -> set[str]:
    section = _REFERENCE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^` ]+)[^`]*`", row)}


def test_every_fixture_is_in_the_reference():
    names = {name for name in vars(fixtures) if name.startswith("pg_")}
    assert _code_of_first_column("Fixtures") == names
    assert len(names) == 17


def test_every_option_is_in_the_reference():
    assert _code_of_first_column("Options") == {"--pg-config", "--pg-instance", "--pg-backend", "--pg-keep"}
    for name, _, _, default in _INI:
        row = next(line for line in _REFERENCE.splitlines() if line.startswith("|") and f"| `{name}` |" in line)
        assert default is None or f"| `{default}` |" in row
