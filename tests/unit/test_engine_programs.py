"""Which texts may be given to a program without the engine."""

from __future__ import annotations

import pytest

from pg_ephemeral.backends.engine.programs import MOST_TEXT, may_be_fed


@pytest.mark.parametrize("text", [b"", b"SELECT 1;", b"-- \xff\r\n.\n", b"x" * MOST_TEXT])
def test_short_ones_of_sql_alone(text: bytes) -> None:
    assert may_be_fed(text)


@pytest.mark.parametrize("text", [b"x" * (MOST_TEXT + 1), b"\\copy t from 'f'", b"SELECT 1 \\gexec", b"SELECT '\0'"])
def test_and_no_others(text: bytes) -> None:
    """psql's own commands may want a terminal, a file, or somebody to read what they print."""
    assert not may_be_fed(text)
