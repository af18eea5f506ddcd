"""Kinds of seed: the explicit table, and loading them in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pg_ephemeral.seeds.base import LoadContext, LoadedSeed, Seed
from pg_ephemeral.seeds.command import Command, Script
from pg_ephemeral.seeds.container_script import ContainerScript
from pg_ephemeral.seeds.csv import CsvFile
from pg_ephemeral.seeds.sql import SqlFile, SqlStatement
from pg_ephemeral.seeds.strategies import CacheStrategy, CommandHash, KeyCommand, KeyPaths, KeyScript, NoCache

__all__ = [
    "KINDS",
    "CacheStrategy",
    "Command",
    "CommandHash",
    "ContainerScript",
    "CsvFile",
    "KeyCommand",
    "KeyPaths",
    "KeyScript",
    "NoCache",
    "Script",
    "Seed",
    "SqlFile",
    "SqlStatement",
    "load_seeds",
]

#: By the word of the ``type`` key. A new kind is a module here and a line in this table.
KINDS: Mapping[str, type[Seed]] = {
    "sql-file": SqlFile,
    "sql-statement": SqlStatement,
    "csv-file": CsvFile,
    "command": Command,
    "script": Script,
    "container-script": ContainerScript,
}


def load_seeds(seeds: Iterable[Seed], directory: Path) -> tuple[LoadedSeed, ...]:
    """Load them in order. After the first that cannot be cached no key is needed, so no key program is run.

    Raises ``SeedLoadError`` naming the seed.
    """
    loaded: list[LoadedSeed] = []
    cacheable = True
    for seed in seeds:
        one = seed.load(LoadContext(directory=directory, cacheable=cacheable))
        cacheable = cacheable and one.inputs is not None
        loaded.append(one)
    return tuple(loaded)
