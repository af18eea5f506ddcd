"""A directory with a ``database.toml``, and the command line run in it as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
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
        """Run to the end, with nothing on stdin unless ``input`` is given."""
        streams = {} if "input" in options else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            [*program, *arguments],
            cwd=self.directory,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            **{**streams, **options},
        )

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
        return subprocess.Popen(
            [*program, *arguments], cwd=self.directory, env=self._environment(), text=True, **streams
        )

    def images(self, *arguments: str) -> list[str | None]:
        """The ``cache_image`` of every seed."""
        return [seed.get("cache_image") for seed in self.json(*arguments, "cache", "status", "--json")["seeds"]]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PG_EPHEMERAL_CACHE_DIR": str(self.cache), **self.environment}


def eventually(condition: Callable[[], object], *, within: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
