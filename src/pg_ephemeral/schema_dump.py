"""A schema as SQL text that depends on the schema alone: pg_dump's arguments, and what is left of its output. Pure.

pg_dump writes its version, the server's, and since August 2025 a random ``\\restrict`` key, in a header and a footer.
A dump that goes into version control must not change with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(
    rb"\A(?P<title>\n*--\n-- PostgreSQL database dump\n--\n\n)"
    rb"(?:\\restrict [^\n]*\n\n?)?"
    rb"(?:-- Dumped from database version [^\n]*\n)?"
    rb"(?:-- Dumped by pg_dump version [^\n]*\n)?"
    rb"\n*"
)
_FOOTER = re.compile(rb"(?P<title>--\n-- PostgreSQL database dump complete\n--\n)\n*(?:\\unrestrict [^\n]*\n)?\n*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaDump:
    """Which parts of a schema to dump. The patterns are those of pg_dump."""

    exclude_schema: tuple[str, ...] = ()
    exclude_table: tuple[str, ...] = ()
    no_comments: bool = False
    no_owner: bool = False
    no_privileges: bool = False
    no_tablespaces: bool = False
    schema: tuple[str, ...] = ()
    table: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """What pg_dump is called with; values are bound to their option, so that none is taken for another one."""
        return (
            "--schema-only",
            *(f"--exclude-schema={pattern}" for pattern in self.exclude_schema),
            *(f"--exclude-table={pattern}" for pattern in self.exclude_table),
            *(("--no-comments",) if self.no_comments else ()),
            *(("--no-owner",) if self.no_owner else ()),
            *(("--no-privileges",) if self.no_privileges else ()),
            *(("--no-tablespaces",) if self.no_tablespaces else ()),
            *(f"--schema={pattern}" for pattern in self.schema),
            *(f"--table={pattern}" for pattern in self.table),
        )


def settled(dump: bytes) -> bytes:
    """The dump without versions and keys, and with one newline at its end.

    They are removed only at the places where pg_dump puts them, so what the schema itself holds is never touched.
    """
    headless = _HEADER.sub(rb"\g<title>", dump, count=1).lstrip(b"\n")
    footer = headless.rfind(b"--\n-- PostgreSQL database dump complete\n--\n")
    if footer >= 0:
        headless = headless[:footer] + _FOOTER.sub(rb"\g<title>", headless[footer:], count=1)
    return headless.rstrip(b"\n") + b"\n"
