"""A project with tests of its own, and pytest run on it in a process of its own, as its users run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.project import eventually

_TIMEOUT = 180

#: Each time its seed is applied, a line is added to the file ``applied``.
COUNTED = """
[instances.main.seeds.schema]
type = "script"
script = '''
echo applied >> applied
psql --quiet --no-psqlrc --command "CREATE TABLE note (body text); INSERT INTO note VALUES ('one')"
'''
"""


@contextmanager
def new_suite(directory: Path, cache: Path) -> Iterator[Suite]:
    """A suite with ``COUNTED`` for its database; at the end of the block nothing is left of its servers."""
    with tempfile.TemporaryDirectory(prefix="pge-") as runtime:
        project = directory / "project"
        for one in (Path(runtime), project):
            one.mkdir(exist_ok=True)
            one.chmod(0o711)
        suite = Suite(directory=project, cache=cache, runtime=Path(runtime))
        suite.write(database_toml=COUNTED, pytest_ini="[pytest]\n")
        try:
            yield suite
            assert suite.holders() == []
            assert list(suite.runtime.iterdir()) == []
        finally:
            for pid in suite.holders():
                os.kill(pid, signal.SIGTERM)


@dataclass(kw_only=True)
class Suite:
    """``run`` to the end, or ``start``. Sockets go below ``runtime``, which is so short that they may."""

    directory: Path
    cache: Path
    runtime: Path

    def write(self, **files: str) -> None:
        """Write Python files, or, with a name such as ``database_toml``, others."""
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            file = f"{stem}.{suffix}" if suffix in {"toml", "ini", "sql"} else f"{name}.py"
            (self.directory / file).write_text(text, encoding="utf-8")

    def start(
        self, *arguments: str, plugins: tuple[str, ...] = (), stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start pytest in a process group of its own; its output, stderr included, is a pipe unless told otherwise."""
        # What other plugins are installed here is not the question.
        others = {"cacheprovider", "django", "asyncio", "anyio"} - set(plugins)
        quiet = [word for name in sorted(others) for word in ("-p", f"no:{name}")]
        base = ("--basetemp", str(self.directory / ".base"), "-rA", "--color=no")
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *quiet, *base, *arguments],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, plugins: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end, and have nothing of it left."""
        with self.start(*arguments, plugins=plugins) as running:
            try:
                out, _ = running.communicate(timeout=_TIMEOUT)
            finally:
                running.kill()
        return subprocess.CompletedProcess(running.args, running.returncode, out)

    def passed(self, *arguments: str, plugins: tuple[str, ...] = ()) -> str:
        """Run what must pass; return what pytest said."""
        done = self.run(*arguments, plugins=plugins)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Ours, with the suite's own directories."""
        # pytest says more where it believes itself in CI.
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PYTEST_") and name not in {"CI", "BUILD_NUMBER"}
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {
            **ours,
            "PATH": path,
            "PG_EPHEMERAL_CACHE_DIR": str(self.cache),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def applied(self) -> int:
        """How often the seed of ``COUNTED`` was applied."""
        path = self.directory / "applied"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def holders(self) -> list[int]:
        """The process ids of the holders of this suite's servers."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"pg_ephemeral.shared_server" in words and any(os.fsencode(self.runtime) in word for word in words):
                found.append(int(process.name))
        return found

    def left(self) -> list[str]:
        """Holders that run, and what there is below the directories that are emptied after a run."""
        runs = self.cache / "embedded" / "v1" / "run"
        held = [str(path) for path in (*self.runtime.iterdir(), *(runs.iterdir() if runs.exists() else ()))]
        return [*map(str, self.holders()), *held]

    def is_left_clean(self) -> None:
        """Wait until nothing is left."""
        eventually(lambda: not self.left())

    def end_holders(self) -> None:
        """Ask the holders that still run to end."""
        for pid in self.holders():
            os.kill(pid, signal.SIGTERM)
        self.is_left_clean()
