"""A large stage passes through a process that stays small."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import registry as support
from support.registry import Registry
from support.sites import Site, open_directory, published, site

pytestmark = pytest.mark.needs("registry")

#: 250 rows of a megabyte, which TOAST neither compresses nor leaves together.
_LARGE = """
CREATE TABLE large (id int, piece text);
ALTER TABLE large ALTER piece SET STORAGE EXTERNAL;
INSERT INTO large SELECT n, (
    SELECT string_agg(md5(i::text) || md5((n * i)::text), '') FROM generate_series(1, 16384) i
) FROM generate_series(1, 250) n
"""
_SMALL = 250_000_000
_LIMIT = 150_000_000

#: Pulls or pushes, and prints the most memory it ever had, in bytes.
_TRANSFER = """
import re, sys
from pathlib import Path
from pg_ephemeral import Definition, sharing
from pg_ephemeral.backends.embedded import EmbeddedBackend
from pg_ephemeral.cache import open_cache
from pg_ephemeral.oci.reference import Registry
verb, directory, database, instance, host, statement = sys.argv[1:]
definition = Definition(
    directory=Path("/"), database=database, cache_registry=Registry.parse(host)
).with_instance(instance).apply_sql_statement("large", statement)
cache = open_cache(definition, EmbeddedBackend(definition.image, cache=Path(directory)))
report = sharing.push(cache) if verb == "push" else sharing.pull(cache)
document = report.to_json()
assert document["pushed"] == 2 if verb == "push" else document["complete"], document
# Not ru_maxrss, which begins with what the process had that started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with support.running(tmp_path / "registry") as running:
        yield running


def most_memory(verb: str, made: Site) -> int:
    words = made.definition
    argv = [str(made.directory), words.database, words.instance, str(words.cache_registry), _LARGE]
    done = subprocess.run([sys.executable, "-c", _TRANSFER, verb, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")
def test_a_large_stage_needs_little_memory(registry: Registry, tmp_path: Path) -> None:
    with site("embedded", open_directory(tmp_path / "one"), [("large", _LARGE)]) as made:
        builder = made.at(f"{registry.host}/owner")
        builder.populate()
        [image] = builder.backend.images.get([builder.tip]).values()
        assert image.size > _SMALL
        assert most_memory("push", builder) < _LIMIT
        assert sum(layer.size for layer in published(registry, builder.tip).manifest.layers) > _SMALL / 4
        fresh = replace(builder, directory=open_directory(tmp_path / "other"), events=[])
        assert most_memory("pull", fresh) < _LIMIT
        assert fresh.rows("SELECT count(*), sum(length(piece)) FROM large") == (250, 250 * 16384 * 64)
        assert fresh.applied() == []
