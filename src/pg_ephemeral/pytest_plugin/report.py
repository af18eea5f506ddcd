"""What the plugin says: under a test that failed, and at the end of the run. Values and text; no server."""

from __future__ import annotations

import shlex
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pg_ephemeral.shared_server import Boot, Kept

if TYPE_CHECKING:
    import pytest

    from pg_ephemeral.databases import Database

#: How many of the stages that were built are named, the slowest first.
_STAGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDatabase:
    """A database that stays, of the fixture of this name, because this test failed."""

    test: str
    fixture: str
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """What databases took to make: the ``template`` they are copies of, and so many ``copies``; in seconds.

    ``strategy`` is what they are made with.
    """

    template: float = 0.0
    copies: int = 0
    seconds: float = 0.0
    strategy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What one process did with one server, which is known by its ``token``, and in how it was booted.

    ``worker`` is the process's name. ``waits`` has the seconds that each database was waited for. ``holder`` is who
    keeps ``kept``.
    """

    token: str
    version: str
    boot: Boot
    worker: str = ""
    waits: tuple[float, ...] = ()
    copying: Copying = Copying()
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
                "boot": Boot.from_json(values["boot"]),
                "waits": tuple(values["waits"]),
                "copying": Copying(**values["copying"]),
                "kept": tuple(KeptDatabase(**one) for one in values["kept"]),
                "holder": None if holder is None else Kept(**{**holder, "directory": Path(holder["directory"])}),
            }
        )


def about_databases(
    loans: Iterable[tuple[Database, str, KeptDatabase | None]], test: str, directory: Path | None
) -> str:
    """Which databases a failed test had; how to look into those that stay, or to have them stay.

    ``directory`` is where their holder is met, if there is one.
    """
    lines = []
    gone = False
    for database, fixture, kept in loans:
        lines.append(f"{fixture}: {database.name}{'' if kept is None else ', which is kept'}")
        if kept is None or directory is None:
            gone = True
        else:
            lines.append(f"  {replace(database.conninfo, password=None).url}")
            lines.append(f"  {attach_command(directory, kept.database)}")
    if gone:
        lines.append(f"to look into it afterwards: pytest --pg-keep {shlex.quote(test)}")
    return "\n".join(lines)


def write_summary(terminal: pytest.TerminalReporter, reports: Sequence[RunReport]) -> None:
    """A few lines at the end of the run."""
    terminal.write_sep("=", "PostgreSQL")
    for line in summary(reports):
        terminal.write_line(line)


def summary(reports: Sequence[RunReport]) -> Iterator[str]:
    """What each server took, and the databases on it; then what is kept."""
    servers: dict[str, list[RunReport]] = {}
    for report in reports:
        servers.setdefault(report.token, []).append(report)
    for of_one in servers.values():
        yield from _about_server(of_one)
    for holder in sorted({report.holder for report in reports if report.holder}, key=lambda one: one.pid):
        kept = [one for report in reports if report.holder == holder for one in report.kept]
        yield f"kept for {holder.minutes:g} minutes, or until kill {holder.pid}:"
        for one in kept:
            yield f"  {one.test} ({one.fixture})"
            yield f"    {attach_command(holder.directory, one.database)}"


def _about_server(reports: Sequence[RunReport]) -> Iterator[str]:
    version, boot = reports[0].version, reports[0].boot
    counts = ((boot.built, "built"), (boot.reused, "reused"), (boot.replayed, "replayed"))
    stages = ", ".join(f"{number} {what}" for number, what in counts if number) or "no seeds"
    yield f"PostgreSQL {version}: ready in {boot.seconds:.2f} s ({stages})"
    if boot.stages:
        slowest = sorted(boot.stages, key=lambda stage: -stage[1])
        more = f", and {len(slowest) - _STAGES} more" if len(slowest) > _STAGES else ""
        built = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in slowest[:_STAGES])
        yield f"built: {built}{more}"
    waits = sorted(wait for report in reports for wait in report.waits)
    if waits:
        workers = len({report.worker for report in reports if report.waits})
        yield (
            f"{len(waits)} database{'s' if len(waits) > 1 else ''}{f' in {workers} workers' if workers > 1 else ''}, "
            f"waited for {milliseconds(statistics.median(waits))} (median), {milliseconds(waits[-1])} (most)"
        )
    yield from _about_copies([report.copying for report in reports])


def _about_copies(all_: Sequence[Copying]) -> Iterator[str]:
    copies = sum(one.copies for one in all_)
    if copies:
        strategies = sorted({one.strategy for one in all_ if one.strategy})
        each = sum(one.seconds for one in all_) / copies
        # One process makes the template, and the others wait for it.
        template = max(one.template for one in all_)
        yield (
            f"copied {copies} time{'s' if copies > 1 else ''}, {milliseconds(each)} each with {', '.join(strategies)}; "
            f"the template took {milliseconds(template)}"
        )


def attach_command(directory: Path, database: str) -> str:
    """The command that opens a prompt on a kept database; no password is in it."""
    words = (sys.executable, "-m", "pg_ephemeral.pytest_plugin.attach", str(directory), database)
    return shlex.join(words)


def milliseconds(seconds: float) -> str:
    """``0.9 ms``, ``35 ms``, ``1.20 s``."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.{1 if seconds < 0.01 else 0}f} ms"
