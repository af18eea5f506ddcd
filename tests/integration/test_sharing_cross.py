"""What the embedded backend pushed others accept: skopeo, the engines, other machines and other users."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pg_ephemeral.labels import KEY_LABEL
from support import engines
from support import registry as support
from support.registry import Registry
from support.sites import INDEX, ROWS, SCHEMA, Site, open_directory, published, site

pytestmark = pytest.mark.needs("registry")

_SEEDS = (SCHEMA, ROWS, INDEX)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with support.running(tmp_path_factory.mktemp("registry") / "plain") as running:
        yield running


@pytest.fixture(scope="module")
def embedded(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Built and pushed."""
    with site("embedded", open_directory(tmp_path_factory.mktemp("embedded")), _SEEDS) as made:
        pushed = made.at(f"{registry.host}/embedded")
        pushed.sync()
        yield pushed


@pytest.mark.needs("skopeo")
def test_skopeo_inspects_what_embedded_pushed(embedded: Site, registry: Registry) -> None:
    for reference in embedded.references():
        argv = ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"]
        shown = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
        assert shown["Labels"][KEY_LABEL] == str(reference.tag)
        assert shown["Digest"] == published(registry, reference).digest
        assert set(shown["RepoTags"]) == {str(one.tag) for one in embedded.references()}


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("docker", marks=pytest.mark.needs("docker")),
        pytest.param("podman", marks=pytest.mark.needs("podman")),
    ],
)
def test_an_engine_pulls_what_embedded_pushed(engine: str, embedded: Site) -> None:
    insecure = ["--tls-verify=false"] if engine == "podman" else []
    reference = str(embedded.tip)
    try:
        engines.call(engine, "pull", *insecure, reference)
        [shown] = json.loads(engines.call(engine, "image", "inspect", reference))
        assert shown["Config"]["Labels"][KEY_LABEL] == str(embedded.tip.tag)
        assert len(shown["RootFS"]["Layers"]) == 4
    finally:
        engines.call(engine, "image", "rm", reference)


#: Another machine, as far as a store can tell: pulls, boots without applying a seed, and prints a row.
_OTHER = """
import sys
from pathlib import Path
from pg_ephemeral import Definition, boot, sharing
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import open_cache
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.progress import SeedStarted
directory, database, instance, host, *seeds = sys.argv[1:]
definition = Definition(
    directory=Path("/"), database=database, cache_registry=Registry.parse(host), wait_available_timeout=60.0
).with_instance(instance)
for name, statement in zip(seeds[::2], seeds[1::2]):
    definition = definition.apply_sql_statement(name, statement)
backend = EmbeddedBackend(definition.image, cache=Path(directory))
report = sharing.pull(open_cache(definition, backend))
assert report.pulled == report.cache.reference(report.cache.chain.keys[-1]), report.to_json()
events = []
with boot(definition, backend=backend, progress=events.append) as server, server.connect() as connection:
    assert not [one for one in events if isinstance(one, SeedStarted)], events
    print(*connection.execute("SELECT count(*), max(id) FROM t").fetchone())
"""


def arguments(site: Site, directory: Path) -> list[str]:
    words = [word for seed in _SEEDS for word in seed]
    made = site.definition
    return [str(directory), made.database, made.instance, str(made.cache_registry), *words]


def test_another_cache_directory_boots_it(embedded: Site, tmp_path: Path) -> None:
    directory = open_directory(tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", _OTHER, *arguments(embedded, directory)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "1000 1000\n"), done.stderr


def as_nobody(*argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run our interpreter, or the system's of the same version, as a user who may write to ``home`` alone."""
    nobody = pwd.getpwnam("nobody")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in filter(None, (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin"))):
        path = os.pathsep.join(one for one in sys.path if one.endswith(("site-packages", "src")))
        run = partial(
            subprocess.run,
            capture_output=True,
            text=True,
            cwd="/",
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path},
        )
        try:
            able = run([program, "-c", "import pg_ephemeral"]).returncode == 0
        except PermissionError:
            able = False
        if able:
            return run([program, *argv])
    pytest.skip("no interpreter here is for everybody")


@pytest.mark.needs("root")
def test_roots_server_of_another_user_boots_it(embedded: Site, tmp_path: Path) -> None:
    """Root pulls, and the files become those of the user that servers run as."""
    directory = tmp_path / "cache"
    directory.mkdir()
    for path in (directory, *directory.parents):
        if not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)  # pytest's directories are root's alone
    done = subprocess.run(
        [sys.executable, "-c", _OTHER, *arguments(embedded, directory)],
        capture_output=True,
        text=True,
        env={**os.environ, "PG_EPHEMERAL_RUN_AS": "nobody"},
    )
    assert (done.returncode, done.stdout) == (0, "1000 1000\n"), done.stderr
    [control] = directory.glob("embedded/*/stages/*/data/global/pg_control")
    assert control.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.needs("root")
def test_another_user_boots_it(embedded: Site, tmp_path: Path) -> None:
    """Not root's at all: the whole program runs as somebody who may write to one directory alone."""
    nobody = pwd.getpwnam("nobody")
    directory = Path("/tmp") / f"share-{embedded.definition.database}"  # pytest's directories are root's alone
    directory.mkdir(mode=0o700)
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    try:
        done = as_nobody("-c", _OTHER, *arguments(embedded, directory), home=directory)
    finally:
        shutil.rmtree(directory)
    assert (done.returncode, done.stdout) == (0, "1000 1000\n"), done.stderr
