"""One process's use of the server: databases lent to tests, what is kept of those that fail, and what it all took.

It is made when the first test of a process needs it, and is also the plugin whose hooks watch tests from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pg_ephemeral.databases import Database, Databases, Kind
from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import PgEphemeralError, ServerError
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.pytest_plugin import OUTPUT, REPORTS, options
from pg_ephemeral.pytest_plugin.options import Options, clear, failure
from pg_ephemeral.pytest_plugin.report import Copying, KeptDatabase, RunReport, about_databases
from pg_ephemeral.pytest_plugin.server import PgServer, running_server
from pg_ephemeral.pytest_plugin.server_log import LogPart, lines_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A database that a fixture of this name has, for this node: a test, a class, a module or the session.

    What a test does to it is ``lasting``, or rolled back.
    """

    fixture: str
    node: pytest.Item | pytest.Collector
    database: Database
    source: Databases
    lasting: bool

    def concerns(self, item: pytest.Item) -> bool:
        """Whether this test uses it, as far as one can know."""
        return self.node is item or (self.node in item.listchain() and self.fixture in _fixtures(item))


class Use:
    """The server, its databases, and the hooks."""

    def __init__(self, server: PgServer, chosen: Options, *, worker: str, workers: int) -> None:
        self.server = server
        self._options = chosen
        self._worker = worker
        facts = server.facts
        self._pool = chosen.pool(worker=worker, workers=workers, connections=facts.connections)
        self._databases = Databases(facts.control, facts.conninfo, self._pool)
        self._prepared: list[Databases] = []
        self._loans: list[Loan] = []
        self._waits: list[float] = []
        self._kept: dict[str, KeptDatabase] = {}
        #: What fixtures tell each other: how the next to be set up connects.
        self.connecting: Kind | None = None
        self._log = None if server.log_file is None else LogPart.from_here(server.log_file)

    @contextmanager
    def lent(
        self,
        request: pytest.FixtureRequest,
        source: Databases | None = None,
        *,
        lasting: bool = True,
        connecting: Kind | None = None,
    ) -> Iterator[Database]:
        """A clone for the fixture's scope: of ``source``, made by ``prepared``, or of the seeded database.

        With ``connecting`` that is what is done with it next. It is given back afterwards, unless it is kept for a test
        that failed.
        """
        databases = source or self._databases
        database = self._take(databases, connecting)
        try:
            with self._noted(request, database, databases, lasting=lasting):
                yield database
        finally:
            if database.name not in self._kept:
                with clear():
                    databases.give_back(database)

    @contextmanager
    def shared(self, request: pytest.FixtureRequest) -> Iterator[Database]:
        """The clone for those who only read."""
        with self._explained():
            database = self._databases.shared()
        with self._noted(request, database, self._databases, lasting=False):
            yield database

    def prepared(self, prepare: Callable[[Database], None]) -> tuple[Databases, Conninfo]:
        """Clones of a database that this process makes on top of the seeds, and that database."""
        base = self._take(self._databases)
        with clear():
            prepare(base)
        self._databases.keep(base)
        # A second pool of the same worker has to make do with what is left.
        pool = replace(self._pool, connections=min(1, self._pool.connections))
        self._prepared.append(Databases(self.server.facts.control, base.conninfo, pool))
        return self._prepared[-1], base.conninfo

    def report(self) -> RunReport:
        """What this process did."""
        facts, member = self.server.facts, self.server.member
        kept = tuple(self._kept.values())
        timings = [databases.timings for databases in (self._databases, *self._prepared)]
        strategies = [str(one.strategy) for one in timings if one.strategy is not None]
        return RunReport(
            token=facts.token,
            version=facts.version,
            boot=facts.boot,
            worker=self._worker,
            waits=tuple(self._waits),
            copying=Copying(
                template=max(one.template for one in timings),
                copies=sum(one.clones for one in timings),
                seconds=sum(one.copying for one in timings),
                strategy=strategies[-1] if strategies else None,
            ),
            kept=kept,
            holder=member.kept(self._options.minutes) if member is not None and kept else None,
        )

    def close(self) -> None:
        """Stop making databases. They go with the server, unless that may stay."""
        for databases in (*self._prepared, self._databases):
            databases.close(drop=self._options.keep > 0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """The server's log from here on is of this test."""
        if self.server.log_file is not None:
            self._log = LogPart.from_here(self.server.log_file)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A test that failed: keep its databases if that is wanted, and say where they are and what the server said."""
        report = yield
        if report.failed:
            loans = [loan for loan in self._loans if loan.concerns(item)]
            lasting = [loan for loan in loans if loan.lasting]
            if lasting:
                self._keep(lasting, item)
                member = self.server.member
                about = about_databases(
                    self._described(lasting), item.nodeid, None if member is None else member.directory
                )
                report.sections.append(("PostgreSQL", about))
            if loans or not _fixtures(item).isdisjoint({"pg_server", "_pg_use"}):
                self._add_log(report, loans)
        return report

    @contextmanager
    def _noted(
        self, request: pytest.FixtureRequest, database: Database, source: Databases, *, lasting: bool
    ) -> Iterator[None]:
        name = request.fixturename or ""
        loan = Loan(fixture=name, node=request.node, database=database, source=source, lasting=lasting)
        self._loans.append(loan)
        try:
            yield
        finally:
            self._loans.remove(loan)

    def _take(self, databases: Databases, connecting: Kind | None = None) -> Database:
        began = time.perf_counter()
        with self._explained():
            database = databases.take(connecting=connecting)
        self._waits.append(time.perf_counter() - began)
        return database

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Fail the test with our own error, or with the reason for it: that the holder was killed."""
        try:
            yield
        except PgEphemeralError as error:
            member = self.server.member
            if member is None or member.alive:
                raise failure(error) from None
            gone = ServerError(
                f"the process {member.pid}, which held the server for this run, is gone, and the server with it",
                hint="somebody killed it, or the system was out of memory",
            )
            raise failure(gone) from None

    def _keep(self, loans: list[Loan], item: pytest.Item) -> None:
        member = self.server.member
        if member is None or not self._options.keep:
            return
        for loan in loans:
            name = loan.database.name
            wanted = name not in self._kept and member.keep(
                name, limit=self._options.keep, minutes=self._options.minutes
            )
            if wanted:
                loan.source.keep(loan.database)
                self._kept[name] = KeptDatabase(test=item.nodeid, fixture=loan.fixture, database=name)

    def _described(self, loans: list[Loan]) -> list[tuple[Database, str, KeptDatabase | None]]:
        return [(loan.database, loan.fixture, self._kept.get(loan.database.name)) for loan in loans]

    def _add_log(self, report: pytest.TestReport, loans: list[Loan]) -> None:
        if self._log is None:
            return
        facts = self.server.facts
        if facts.contained:
            self._log.await_latest(facts.control)
        names = {loan.database.name for loan in loans} if loans and facts.log_by_database else None
        lines = lines_of(self._log.text(), names)
        if lines:
            report.sections.append(("PostgreSQL log", "\n".join(lines)))


@contextmanager
def using(config: pytest.Config, definition: Definition) -> Iterator[Use]:
    """The server and its databases for the rest of the session; a test that fails for want of them says why."""
    chosen = options.read_options(config)
    workerinput = getattr(config, "workerinput", None)
    worker, workers = (
        ("", 1) if workerinput is None else (str(workerinput["workerid"]), int(workerinput["workercount"]))
    )
    with clear(), running_server(config, definition, keep=chosen.keep > 0) as server:
        use = Use(server, chosen, worker=worker, workers=workers)
        config.pluginmanager.register(use, "pg_ephemeral_use")
        try:
            yield use
        finally:
            config.pluginmanager.unregister(use)
            report = use.report()
            if workerinput is None:
                config.stash.setdefault(REPORTS, []).append(report)
            else:
                output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined] # pytest-xdist adds it
                output.setdefault(OUTPUT, []).append(report.to_json())
            use.close()


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))
