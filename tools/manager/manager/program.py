"""pg-ephemeral as a program: find it, run it, and say which step failed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manager.errors import BinaryMissing, SubprocessFailed
from manager.scratch import Scratch

NAME = "pg-ephemeral"

#: The longest a step may take, in seconds. The first push of an engine sends the image of PostgreSQL, too.
STEP_LIMIT = 900.0
#: The same for clearing up, after which nothing comes.
CLEARING_LIMIT = 120.0


def find(path: str | None = None) -> str:
    """The program, by name or path (None: ``NAME``). Raises ``BinaryMissing``."""
    found = shutil.which(path or NAME)
    if found is None:
        where = f"there is no program {path}" if path else f"there is no {NAME} on PATH"
        raise BinaryMissing(f"{where}: pip install . from a clone has it installed")
    # Programs run in the scratch project, where a relative path means another file.
    return str(Path(found).absolute())


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Runs ``executable`` on one instance of a scratch project. ``told`` gets what it writes to stderr."""

    executable: str
    scratch: Scratch
    instance: str
    told: Callable[[str], None]

    def run(self, *words: str, limit: float = STEP_LIMIT) -> str:
        """Run to the end, for at most ``limit`` seconds; its stdout. Raises ``SubprocessFailed``."""
        step = " ".join(words[:2])
        try:
            done = subprocess.run(
                (self.executable, "--instance", self.instance, *words),
                cwd=self.scratch.project,
                env={**os.environ, "PG_EPHEMERAL_CACHE_DIR": str(self.scratch.cache)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=limit,
                check=False,
            )
        except OSError as error:
            raise SubprocessFailed(f"{step}: cannot start {self.executable}: {error.strerror or error}") from error
        except subprocess.TimeoutExpired as error:
            raise SubprocessFailed(f"{step}: did not end within {limit:g} s") from error
        if done.stderr:
            self.told(done.stderr.rstrip("\n"))
        if done.returncode < 0:
            raise SubprocessFailed(f"{step}: killed by signal {-done.returncode}")
        if done.returncode > 0:
            raise SubprocessFailed(f"{step}: exit status {done.returncode}")
        return done.stdout
