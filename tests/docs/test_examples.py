"""Every example with a database.toml can be read and booted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pg_ephemeral import config
from pg_ephemeral.definition import BackendChoice, Definition
from pg_ephemeral.lifecycle import boot
from support.documents import ROOT

EXAMPLES = sorted(file.parent for file in (ROOT / "examples").glob("*/database.toml"))


def test_there_are_examples():
    assert {example.name for example in EXAMPLES} >= {"csv", "minimal", "shop"}


@pytest.mark.parametrize("directory", sorted((ROOT / "examples").glob("*/")), ids=lambda directory: directory.name)
def test_every_example_explains_itself(directory: Path):
    assert (directory / "README.md").read_text(encoding="utf-8").startswith("# ")


# acceptance: 59
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_read(example: Path):
    instances = config.load(example / "database.toml").instances
    assert instances
    assert all(definition.seeds for definition in instances.values())


# acceptance: 60
@pytest.mark.needs("embedded")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_instance_of_every_example_boots(
    example: Path, tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    copy = Path(shutil.copytree(example, tmp_path / example.name))
    for definition in config.load(copy / "database.toml").instances.values():
        with boot(definition) as server, server.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.needs("embedded")
def test_the_shop_is_the_same_for_everybody(tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    copy = Path(shutil.copytree(ROOT / "examples" / "shop", tmp_path / "shop"))
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
