"""Every example can be read and booted, and the eight workflows do what they show, on every backend that can."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pg_ephemeral import config
from pg_ephemeral.definition import BackendChoice, Definition
from pg_ephemeral.errors import BackendError
from pg_ephemeral.lifecycle import boot
from support import documents, engines, machine
from support.documents import ROOT
from support.project import PROGRAM

DIRECTORY = ROOT / "examples"
EXAMPLES = sorted(file.parent for file in DIRECTORY.glob("*/database.toml"))
BACKENDS = ("embedded", *machine.ENGINES)

#: What a workflow needs beside its backend: ``script`` seeds and ``host`` take this machine's psql with an engine.
WORKFLOWS: dict[str, dict[str, tuple[str, ...]]] = {
    "no-configuration": {},
    "sql-files": {},
    "csv": {},
    "instances": {},
    "test-suite": {},
    "extension": {},
    "cached-seeds": {"docker": ("system",), "podman": ("system",)},
    "tls": {"embedded": ("tls",), "docker": ("tls",), "podman": ("tls",)},
}

#: Of these the blocks are for engines alone, and what the other backend says instead is a test of its own.
ENGINES_ONLY = ("extension",)


def _cases():
    for name, needs in WORKFLOWS.items():
        for backend in machine.ENGINES if name in ENGINES_ONLY else BACKENDS:
            marks = pytest.mark.needs(backend, *needs.get(backend, ()))
            yield pytest.param(name, backend, marks=marks, id=f"{name}-{backend}")


def test_there_are_examples():
    assert {example.name for example in EXAMPLES} >= {"csv", "minimal", "shop"}
    assert {path.parent.name for path in DIRECTORY.glob("*/README.md")} >= set(WORKFLOWS)


@pytest.mark.parametrize("directory", sorted(DIRECTORY.glob("*/")), ids=lambda directory: directory.name)
def test_every_example_explains_itself_and_is_in_the_list(directory: Path):
    assert (directory / "README.md").read_text(encoding="utf-8").startswith("# ")
    assert f"{directory.name}/README.md" in set(documents.links(DIRECTORY / "README.md"))


# acceptance: 59
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_read(example: Path):
    instances = config.load(example / "database.toml").instances
    assert instances
    assert all(definition.seeds for definition in instances.values())


# acceptance: 60
@pytest.mark.needs("embedded")
@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example, marks=pytest.mark.needs("tls") if example.name == "tls" else (), id=example.name)
        for example in EXAMPLES
        if example.name not in ENGINES_ONLY
    ],
)
def test_every_instance_of_every_example_boots(
    example: Path, tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    copy = Path(shutil.copytree(example, tmp_path / example.name))
    for definition in config.load(copy / "database.toml").instances.values():
        with boot(definition) as server, server.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture(scope="module")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """For each backend a directory with a ``pg-ephemeral`` that adds what tests must add to every command.

    A parameter of no consequence makes the stages nobody else's; the registry, which is never asked, gives them a name
    by which they are found and removed at the end.
    """
    token = f"t-{secrets.token_hex(4)}"
    directories = {}
    for backend in BACKENDS:
        directories[backend] = tmp_path_factory.mktemp(backend)
        options = ["--cache-registry", f"localhost:9/{token}", "--parameter", f"cluster_name={token}"]
        if backend in machine.ENGINES:
            options += ["--image", machine.IMAGE]
        program = directories[backend] / "pg-ephemeral"
        program.write_text(f'#!/bin/sh\nexec "{PROGRAM[0]}" {" ".join(options)} "$@"\n')
        program.chmod(0o755)
    yield directories
    for engine in machine.ENGINES:
        if machine.abilities()[engine] is None:
            engines.remove_images(engine, token)


# acceptance: 60
@pytest.mark.parametrize(("name", "backend"), list(_cases()))
def test_a_workflow_is_as_its_document_shows(
    name: str, backend: str, terminals: dict[str, Path], tmp_path: Path, warm_cache: Path
):
    here = Path(shutil.copytree(DIRECTORY / name, tmp_path / name))
    environment = documents.environment(warm_cache) | {"OCIMAN_BACKEND": backend}
    environment["PATH"] = os.pathsep.join([str(terminals[backend]), environment["PATH"]])
    ran = 0
    for block in documents.blocks(here / "README.md"):
        if "--backend embedded" not in block.text:
            # What a machine must have for it, it has: that is why this test was not skipped.
            documents.run(replace(block, not_run=None), here, environment)
            ran += block.language == "console"
    assert ran


@pytest.mark.needs("embedded")
def test_a_script_for_the_image_is_refused_where_there_is_none(
    warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    copy = Path(shutil.copytree(DIRECTORY / "extension", tmp_path / "extension"))
    definition = _embedded(config.load(copy / "database.toml").definition())
    with pytest.raises(BackendError) as caught, boot(definition):
        pass
    assert caught.value.message == "seed 'install' is a container-script, which the embedded backend cannot run"
    assert caught.value.hint == "the backends docker and podman can; a script seed runs on the host"


@pytest.mark.needs("embedded")
def test_the_shop_is_the_same_for_everybody(tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    copy = Path(shutil.copytree(DIRECTORY / "shop", tmp_path / "shop"))
    with boot(_embedded(config.load(copy / "database.toml").definition())) as server, server.connect() as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM customer_order), count(*) FROM order_line"
        ).fetchone()
        revenue = connection.execute("SELECT sum(total) FROM order_total").fetchone()
        described = connection.execute(
            "SELECT count(*) FILTER (WHERE description IS NULL), count(*) FILTER (WHERE description = '') FROM product"
        ).fetchone()
    assert counts == (2000, 12000, 30000)
    assert revenue is not None
    assert str(revenue[0]) == "2191189.70"
    # An empty field is NULL, a quoted empty one is a text.
    assert described == (15, 1)


def _embedded(definition: Definition) -> Definition:
    return definition.with_backend(BackendChoice.EMBEDDED)
