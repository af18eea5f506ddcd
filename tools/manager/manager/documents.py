"""The JSON that the cache commands print, as far as a check looks into it. Everything else may change. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from manager.errors import UnexpectedShape

HIT = "hit"
MISS = "miss"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedState:
    """One seed: ``status`` is a word, ``image`` the stage's reference."""

    name: str
    status: str
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The document of ``cache status`` and ``cache populate``; seeds are in their order."""

    seeds: tuple[SeedState, ...]

    @classmethod
    def parse(cls, step: str, text: str) -> Status:
        """Read it. Raises ``UnexpectedShape`` naming ``step``."""
        document = _Document.parse(step, text)
        seeds = tuple(
            SeedState(name=one.text("name"), status=one.text("status"), image=one.text("cache_image"))
            for one in document.items("seeds")
        )
        return cls(seeds=seeds)

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """Name and status of each seed."""
        return tuple((seed.name, seed.status) for seed in self.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """The document of ``cache push``: each stage's reference, and what became of it."""

    stages: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, step: str, text: str) -> Push:
        """Read it. Raises ``UnexpectedShape`` naming ``step``."""
        document = _Document.parse(step, text)
        return cls(stages=tuple((one.text("cache_image"), one.text("status")) for one in document.items("stages")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """The document of ``cache pull``: the reference of what was fetched, None if nothing was."""

    pulled: str | None

    @classmethod
    def parse(cls, step: str, text: str) -> Pull:
        """Read it. Raises ``UnexpectedShape`` naming ``step``."""
        return cls(pulled=_Document.parse(step, text).text_or_none("pulled"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """An object, or a part of one; ``where`` is how errors name it."""

    where: str
    members: dict[str, Any]

    @classmethod
    def parse(cls, step: str, text: str) -> _Document:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UnexpectedShape(f"{step}: its output is not JSON ({error})", detail=text[:1000]) from error
        return cls.check(f"{step}: ", value)

    @classmethod
    def check(cls, where: str, value: Any) -> _Document:
        if not isinstance(value, dict):
            raise UnexpectedShape(f"{where}there is {_kind(value)} where an object should be")
        return cls(where=where, members=value)

    def text(self, name: str) -> str:
        found = self.text_or_none(name)
        if found is None:
            raise UnexpectedShape(f"{self.where}{name!r} should be a string, and is {_kind(None)}")
        return found

    def text_or_none(self, name: str) -> str | None:
        found = self._member(name)
        if found is not None and not isinstance(found, str):
            raise UnexpectedShape(f"{self.where}{name!r} should be a string, and is {_kind(found)}")
        return found

    def items(self, name: str) -> tuple[_Document, ...]:
        found = self._member(name)
        if not isinstance(found, list):
            raise UnexpectedShape(f"{self.where}{name!r} should be a list, and is {_kind(found)}")
        return tuple(_Document.check(f"{self.where}{name}[{position}]: ", one) for position, one in enumerate(found))

    def _member(self, name: str) -> Any:
        if name not in self.members:
            raise UnexpectedShape(f"{self.where}there is no {name!r}")
        return self.members[name]


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else kinds.get(type(value), "something else")
