"""What the plugin says: under a test that failed, and at the end of the run. Values and text; no server."""

from __future__ import annotations

import shlex
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pg_ephemeral.shared_server import Kept

if TYPE_CHECKING:
    import pytest

    from pg_ephemeral.databases import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDatabase:
    """A database that stays, of the fixture of this name, because this test failed."""

    test: str
    fixture: str
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What one process did. ``seconds``, ``built``, ``reused`` and ``replayed`` are of the server's boot.

    ``waits`` has the seconds that each database was waited for. ``holder`` is who keeps ``kept``.
    """

    version: str
    seconds: float
    built: int
    reused: int
    replayed: int
    waits: tuple[float, ...]
    kept: tuple[KeptDatabase, ...] = ()
    holder: Kept | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values, for pytest-xdist."""
        holder = None if self.holder is None else {**asdict(self.holder), "directory": str(self.holder.directory)}
        return {**asdict(self), "holder": holder}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        holder = values["holder"]
        return cls(
            **{
                **values,
                "waits": tuple(values["waits"]),
                "kept": tuple(KeptDatabase(**one) for one in values["kept"]),
                "holder": None if holder is None else Kept(**{**holder, "directory": Path(holder["directory"])}),
            }
        )


def about_databases(loans: Iterable[tuple[Database, str, KeptDatabase | None]], test: str) -> str:
    """Which databases a failed test had, where those are that stay, and how to have them stay."""
    lines = []
    gone = False
    for database, fixture, kept in loans:
        lines.append(f"{fixture}: {database.name}{'' if kept is None else ', which is kept'}")
        if kept is None:
            gone = True
        else:
            lines.append(f"  {replace(database.conninfo, password=None).url}")
    if gone:
        lines.append(f"to look into it afterwards: pytest --pg-keep {shlex.quote(test)}")
    return "\n".join(lines)


def write_summary(terminal: pytest.TerminalReporter, reports: Sequence[RunReport]) -> None:
    """A few lines at the end of the run."""
    terminal.write_sep("=", "PostgreSQL")
    for line in summary(reports):
        terminal.write_line(line)


def summary(reports: Sequence[RunReport]) -> Iterator[str]:
    """How long the server took, how many databases there were and how long they were waited for; what is kept."""
    # Workers on one host have one server; on several hosts the slowest boot is what was waited for.
    slowest = max(reports, key=lambda report: report.seconds)
    counts = ((slowest.built, "built"), (slowest.reused, "reused"), (slowest.replayed, "replayed"))
    stages = ", ".join(f"{number} {what}" for number, what in counts if number) or "no seeds"
    yield f"PostgreSQL {slowest.version}: ready in {slowest.seconds:.2f} s ({stages})"
    waits = sorted(wait for report in reports for wait in report.waits)
    if waits:
        workers = f" in {len(reports)} workers" if len(reports) > 1 else ""
        yield (
            f"{len(waits)} database{'s' if len(waits) > 1 else ''}{workers}, waited for "
            f"{milliseconds(statistics.median(waits))} (median), {milliseconds(waits[-1])} (most)"
        )
    for holder in sorted({report.holder for report in reports if report.holder}, key=lambda one: one.pid):
        kept = [one for report in reports if report.holder == holder for one in report.kept]
        yield f"kept for {holder.minutes:g} minutes, or until kill {holder.pid}:"
        for one in kept:
            yield f"  {one.test} ({one.fixture})"
            yield f"    {attach_command(holder.directory, one.database)}"


def attach_command(directory: Path, database: str) -> str:
    """The command that opens a prompt on a kept database; no password is in it."""
    words = (sys.executable, "-m", "pg_ephemeral.pytest_plugin.attach", str(directory), database)
    return shlex.join(words)


def milliseconds(seconds: float) -> str:
    """``0.9 ms``, ``35 ms``, ``1.20 s``."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.{1 if seconds < 0.01 else 0}f} ms"
