"""What a value of a configuration file may look like, as data. No key of any file is named here, and nothing is read.

The same tree of shapes reads a document (``config.read``) and becomes its JSON Schema (``config.schema``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field

__all__ = ["Choice", "Items", "Key", "Named", "Scalar", "Shape", "Switch", "Table", "Text", "Variants"]


class Text(Struct, frozen=True, kw_only=True):
    """A string. ``parse`` makes the value of it or raises ``InvalidValue``; ``pattern`` is what a schema can say.

    ``expected`` is for messages. ``suffix`` is what a bare number lacks besides its quotes, such as a unit.
    """

    parse: Callable[[str], Any] = str
    expected: str = "a string"
    pattern: str | None = None
    longest: int | None = None
    suffix: str = ""
    examples: tuple[str, ...] = ()


class Choice(Struct, frozen=True, kw_only=True):
    """One of a few words; ``parse`` makes the value of one of them."""

    words: tuple[str, ...]
    parse: Callable[[str], Any] = str


class Switch(Struct, frozen=True, kw_only=True):
    """True or false."""


class Scalar(Struct, frozen=True, kw_only=True):
    """A string, integer, float or boolean, as it is. ``no_table`` is a hint for who writes a table instead."""

    no_table: str | None = None


class Items(Struct, frozen=True, kw_only=True):
    """A list of strings, at least ``least`` of them."""

    element: Text
    least: int = 0


class Key(Struct, frozen=True, kw_only=True):
    """A key of a table. ``default`` is what leaving it out means, for readers; ``build`` gets only what is there."""

    shape: Shape
    description: str
    required: bool = False
    default: str | bool | None = None


class Table(Struct, frozen=True, kw_only=True):
    """A table of known keys, made into a value by ``build`` with them as keyword arguments.

    ``misplaced`` holds hints for keys that people write here and that belong elsewhere.
    """

    keys: Mapping[str, Key]
    build: Callable[..., Any]
    description: str = ""
    misplaced: Mapping[str, str] = field(default_factory=dict)


class Named(Struct, frozen=True, kw_only=True):
    """A table whose keys are names of the user's. ``make`` gets a name as parsed and the value of ``shape`` for it.

    ``build`` makes a value of what ``make`` returned, by name in the order of declaration. ``excluded`` are names
    that ``make`` refuses, for the schema.
    """

    name: Text
    shape: Shape
    make: Callable[[Any, Any], Any] = lambda _, value: value
    build: Callable[[dict[Any, Any]], Any] = dict
    excluded: tuple[str, ...] = ()


class Variants(Struct, frozen=True, kw_only=True):
    """A table whose ``type`` says which table it is."""

    tables: Mapping[str, Table]


Shape: TypeAlias = Text | Choice | Switch | Scalar | Items | Table | Named | Variants
