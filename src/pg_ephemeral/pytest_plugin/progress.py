"""What is being built, on the terminal of somebody who waits for it."""

from __future__ import annotations

import pytest

from pg_ephemeral.progress import ClusterStarted, Event, Progress, SeedStarted, Waiting, silent


def terminal_progress(config: pytest.Config) -> Progress:
    """A line for each step that takes time, past pytest's capturing; nothing unless somebody watches."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if not isinstance(reporter, pytest.TerminalReporter) or not reporter.isatty or config.get_verbosity() < 0:
        return silent
    capture = config.pluginmanager.getplugin("capturemanager")

    def show(event: Event) -> None:
        line = _line(event)
        if line is None:
            return
        if capture is None:
            reporter.ensure_newline()
            reporter.write_line(line, light=True)
            return
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line, light=True)

    return show


def _line(event: Event) -> str | None:
    match event:
        case ClusterStarted():
            return f"pg-ephemeral: making an empty cluster, PostgreSQL {event.version} …"
        case SeedStarted():
            return f"pg-ephemeral: [{event.position}/{event.total}] {event.name} ({event.kind}) …"
        case Waiting():
            return f"pg-ephemeral: waiting for another process, which is making {event.name} …"
        case _:
            return None
