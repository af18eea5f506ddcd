"""A kind of seed for the in-memory backend: it adds a word to the "database"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pg_ephemeral.errors import SeedFailed
from pg_ephemeral.seeds.base import Inputs, LoadContext, LoadedSeed, Seed, SeedName, Target
from pg_ephemeral.server import SeedTarget
from support.memory import MemoryHandle


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSeed:
    """Adds ``word``; ``fails`` makes it fail, ``before`` is called first, ``cached`` False breaks the chain."""

    name: SeedName
    word: str
    cached: bool = True
    fails: bool = False
    build: bool = False
    kills_server: bool = False
    before: Callable[[], None] | None = None
    timeout: float | None = None
    kind: str = "word"

    def load(self, context: LoadContext) -> LoadedSeed:  # noqa: ARG002 -- nothing to read
        return LoadedWord(seed=self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWord:
    seed: WordSeed
    key_kind: str = field(default="word")

    @property
    def inputs(self) -> Inputs | None:
        return {"word": self.seed.word} if self.seed.cached else None

    @property
    def needs_build(self) -> bool:
        return self.seed.build

    @property
    def reads_files(self) -> bool:
        return False

    def apply(self, target: Target) -> None:
        if self.seed.before is not None:
            self.seed.before()
        assert isinstance(target, SeedTarget)
        handle = target._handle
        assert isinstance(handle, MemoryHandle)
        if self.seed.kills_server:
            handle.running = False
            return
        if self.seed.fails:
            raise SeedFailed(f"seed {self.seed.name!r}: no such word", seed=self.seed.name)
        handle.words.append(self.seed.word)


def words(text: str, **options: Any) -> tuple[Seed, ...]:
    """One seed per word, named after it; a word that ends with ``!`` is not cached."""
    return tuple(
        WordSeed(name=SeedName(word.rstrip("!")), word=word.rstrip("!"), cached=not word.endswith("!"), **options)
        for word in text.split()
    )
