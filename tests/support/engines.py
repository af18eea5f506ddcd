"""What is left in the container engines, and how to clear away what tests put there on purpose."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from pg_ephemeral.backends.engine.owner import PROCESS_LABEL
from pg_ephemeral.labels import KEY_LABEL


def call(engine: str, *arguments: str) -> str:
    """Run an engine's command; its stdout."""
    done = subprocess.run([engine, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{engine} {arguments}: {done.stderr}"
    return done.stdout


def containers(engine: str, *, process: int | None = None) -> list[str]:
    """The names of containers that this process, or another, has started with our backends."""
    number = os.getpid() if process is None else process
    listed = call(engine, "ps", "--all", "--filter", f"label={PROCESS_LABEL}", "--format", "{{.Names}}").split()
    return [name for name in listed if _label(engine, name).startswith(f"{number}.")]


def left_behind(engine: str, directory: Path) -> list[str]:
    """Containers of this process, and run directories below its cache directory."""
    runs = directory / engine / "run"
    return [*containers(engine), *(str(path) for path in runs.glob("*"))]


def volumes(engine: str) -> set[str]:
    return set(call(engine, "volume", "ls", "--quiet").split())


def images(engine: str, part: str) -> list[str]:
    """The names of stages with ``part`` in their repository."""
    argv = [engine, "image", "ls", "--filter", f"label={KEY_LABEL}", "--format", "{{.Repository}}:{{.Tag}}"]
    for _ in range(10):  # Podman lists nothing when another process removes an image meanwhile
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        if done.returncode == 0 or ("not known" not in done.stderr and "retrieving size" not in done.stderr):
            break
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    return [name for name in names if part in name.rpartition(":")[0]]


def remove_images(engine: str, part: str) -> None:
    names = images(engine, part)
    if names:
        call(engine, "image", "rm", *names)


def _label(engine: str, container: str) -> str:
    done = subprocess.run(
        [engine, "container", "inspect", "--format", "{{json .Config.Labels}}", container],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return str(json.loads(done.stdout).get(PROCESS_LABEL, "")) if done.returncode == 0 else ""
