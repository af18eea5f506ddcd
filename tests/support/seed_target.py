"""A target for seeds without a server: programs run, and a stand-in for psql records what it was given."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pg_ephemeral.pipes import Take
from pg_ephemeral.postgres.conninfo import Conninfo, NetworkEndpoint, SslMode
from pg_ephemeral.process import Invocation
from pg_ephemeral.seeds.base import LoadContext, LoadedSeed, Seed

_STAND_IN = """\
import json, os, sys
record, directory = sys.argv[1], os.getcwd()
given = sys.stdin.buffer.read()
with open(record, "w") as file:
    json.dump({"argv": sys.argv[2:], "env": dict(os.environ), "cwd": directory, "stdin": given.decode()}, file)
sys.stderr.write(os.environ.get("STAND_IN_STDERR", ""))
sys.exit(int(os.environ.get("STAND_IN_STATUS", "0")))
"""


@dataclass(frozen=True, kw_only=True)
class FakeTarget:
    """``stderr`` and ``status`` are what the stand-in for psql ends with."""

    directory: Path
    stderr: str = ""
    status: int = 0

    @property
    def conninfo(self) -> Conninfo:
        return Conninfo(
            endpoint=NetworkEndpoint(host="127.0.0.1", port=1),
            user="postgres",
            database="postgres",
            password="secret",
            sslmode=SslMode.DISABLE,
        )

    def client_environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "DATABASE_URL": self.conninfo.url}

    def tool(self, name: str, *arguments: str) -> Invocation:
        program = self.directory / f".{name}.py"
        program.write_text(_STAND_IN)
        environment = {
            **self.client_environment(),
            "STAND_IN_STDERR": self.stderr,
            "STAND_IN_STATUS": str(self.status),
        }
        argv = (sys.executable, str(program), str(self._record), *arguments)
        return Invocation(argv=argv, env=environment, cwd=self.directory)

    def feed(self, name: str, *arguments: str, text: bytes, line: Take, timeout: float | None) -> int | None:  # noqa: ARG002 -- there is none
        return None

    def run_script(self, script: str, *, seed: str, timeout: float | None = None) -> None:  # noqa: ARG002
        (self.directory / ".script").write_text(f"{seed}: {script}")

    @property
    def recorded(self) -> dict[str, Any]:
        """What the stand-in was given: ``argv``, ``env``, ``cwd``, ``stdin``."""
        given: dict[str, Any] = json.loads(self._record.read_text())
        return given

    @property
    def _record(self) -> Path:
        return self.directory / ".record.json"


def load(seed: Seed, directory: Path, *, cacheable: bool = True) -> LoadedSeed:
    return seed.load(LoadContext(directory=directory, cacheable=cacheable))


def write(directory: Path, **files: str | bytes) -> None:
    """Write files; ``__`` in a name stands for a slash and ``_`` for a dot."""
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def program(path: Path, script: str) -> str:
    """An executable shell script; returns its name quoted for a shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))
