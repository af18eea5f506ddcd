"""What is left in the container engines, and how to clear away what tests put there on purpose."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pg_ephemeral import Definition
from pg_ephemeral.backends.engine.backend import EngineBackend
from pg_ephemeral.backends.engine.commands import is_absent
from pg_ephemeral.backends.engine.docker import DOCKER
from pg_ephemeral.backends.engine.owner import PROCESS_LABEL
from pg_ephemeral.backends.engine.podman import PODMAN
from pg_ephemeral.cache import open_cache
from pg_ephemeral.labels import INSTANCE_LABEL, KEY_LABEL
from pg_ephemeral.populate import populate_only
from support import machine
from support.project import eventually

if TYPE_CHECKING:
    import pytest

    from pg_ephemeral.oci.reference import Reference

_DIALECTS = {"docker": DOCKER, "podman": PODMAN}

#: The instance that stage 0 of the image for tests is made for.
_CLUSTER = "test-cluster"


@cache
def have_cluster(engine: str) -> Reference:
    """Have stage 0 of the image for tests here, where tests find it: a stage is found by its key, under any name."""
    with tempfile.TemporaryDirectory() as directory:
        definition = Definition().with_image(machine.IMAGE).with_backend(engine).with_instance(_CLUSTER)
        backend = EngineBackend(_DIALECTS[engine], definition.image, cache=Path(directory))
        cache = populate_only(open_cache(definition, backend))
        return cache.reference(cache.chain.cluster)


def forget_clusters() -> None:
    """Remove them, when all tests are done."""
    for engine in machine.ENGINES:
        if machine.abilities()[engine] is None:
            remove_images(engine, _CLUSTER)


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


def give_proxies(engine: str, proxy: str, directory: Path, patch: pytest.MonkeyPatch) -> None:
    """Have the engine's command give this proxy to every container."""
    if engine == "docker":
        (directory / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": proxy}}}))
        patch.setenv("DOCKER_CONFIG", str(directory))
    else:
        patch.setenv("http_proxy", proxy)


def wrap(engine: str, directory: Path, script: str, patch: pytest.MonkeyPatch) -> None:
    """Put a script before the engine's command; what it does not end goes on to the real one, ``$real``."""
    program = directory / "wrapped" / engine
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nreal={shutil.which(engine)}\n{script}\nexec $real "$@"\n')
    program.chmod(0o755)
    patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def inside(engine: str) -> int:
    """Who we are in a container: without root's rights an engine takes its own user for root."""
    if engine == "podman" and machine.abilities()["rootless"] is None:
        return 0
    return os.getuid()


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
    """Take those away, and what lost its name while a server ran on it.

    Another test's server may run on a stage that has a name of ours, too; it ends soon.
    """
    names = [*images(engine, part), *_nameless(engine, part)]
    if names and not _are_removed(engine, *names):
        for name in names:
            eventually(partial(_are_removed, engine, name), within=60)


def _are_removed(engine: str, *names: str) -> bool:
    done = subprocess.run([engine, "image", "rm", *names], capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return True
    complaints = [line for line in done.stderr.splitlines() if not is_absent(line)]
    assert all(re.search(r"in use|is using|conflict", line) for line in complaints), done.stderr
    return complaints == []


def _nameless(engine: str, part: str) -> list[str]:
    """Stages without a name that say they are of an instance with ``part`` in its name."""
    filters = ("--filter", "dangling=true", "--filter", f"label={KEY_LABEL}")
    found = call(engine, "image", "ls", "--quiet", "--no-trunc", *filters).split()
    form = f'{{{{index .Config.Labels "{INSTANCE_LABEL}"}}}}'
    # One that somebody else removes meanwhile is not described.
    described = {
        one: subprocess.run([engine, "image", "inspect", "--format", form, one], capture_output=True, text=True).stdout
        for one in found
    }
    return [one for one, instance in described.items() if part in instance]


def _label(engine: str, container: str) -> str:
    done = subprocess.run(
        [engine, "container", "inspect", "--format", "{{json .Config.Labels}}", container],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return str(json.loads(done.stdout).get(PROCESS_LABEL, "")) if done.returncode == 0 else ""
