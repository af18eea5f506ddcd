"""A directory with a ``database.toml``, and the command line run in it as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The installed program, beside the interpreter.
PROGRAM = (str(Path(sys.executable).with_name("pg-ephemeral")),)
MODULE = (sys.executable, "-m", "pg_ephemeral")

_TIMEOUT = 120


@dataclass(kw_only=True)
class Project:
    """``run`` gives what the program wrote and how it ended; ``start`` gives the running program."""

    directory: Path
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, **files: str) -> None:
        """Write files; an underscore stands for the dot before the suffix: ``database_toml``."""
        for name, text in files.items():
            (self.directory / name.replace("_", ".")).write_text(text)

    def run(
        self, *arguments: str, program: tuple[str, ...] = PROGRAM, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, with ``input`` on stdin, or nothing."""
        given = options.pop("input", None)
        with self.start(*arguments, program=program, **{"stdin": subprocess.PIPE, **options}) as running:
            try:
                out, err = running.communicate(given, timeout=_TIMEOUT)
            finally:
                running.kill()
        return subprocess.CompletedProcess(running.args, running.returncode, out, err)

    def ok(self, *arguments: str, **options: Any) -> str:
        """Run what must succeed; return its stdout."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run what must print JSON."""
        return json.loads(self.ok(*arguments))

    def start(self, *arguments: str, program: tuple[str, ...] = PROGRAM, **options: Any) -> subprocess.Popen[str]:
        """Start and return at once; both outputs are pipes unless told otherwise."""
        streams: Mapping[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        }
        with _attentive():
            return subprocess.Popen(
                [*program, *arguments], cwd=self.directory, env=self._environment(), text=True, **streams
            )

    def images(self, *arguments: str) -> list[str | None]:
        """The ``cache_image`` of every seed."""
        return [seed.get("cache_image") for seed in self.json(*arguments, "cache", "status", "--json")["seeds"]]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PG_EPHEMERAL_CACHE_DIR": str(self.cache), **self.environment}


@contextmanager
def _attentive() -> Iterator[None]:
    """What is started in the block heeds SIGINT and SIGHUP, even if the tests are run by nohup or in the background."""
    ignored = [one for one in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def eventually(condition: Callable[[], object], *, within: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
