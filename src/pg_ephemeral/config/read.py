"""Reading the values of a document by a shape. No key of any file is named here.

``read`` takes nothing that the shape does not name, at any depth, and says where and what the first wrong thing is.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from pg_ephemeral.config.file import Document
from pg_ephemeral.config.position import KeyPath
from pg_ephemeral.config.shape import Choice, Items, Named, Scalar, Shape, Switch, Table, Text, Variants
from pg_ephemeral.errors import ConfigError, DefinitionError, InvalidValue

__all__ = ["close", "located", "read"]

_SHOWN_CHARACTERS = 40


def close(word: str, known: Iterable[str]) -> str | None:
    """A hint at the words of ``known`` that ``word`` nearly is, or begins."""
    import difflib

    words = list(known)
    matches = difflib.get_close_matches(word.lower(), words, n=1) or [
        candidate for candidate in words if word and candidate.startswith(word.lower())
    ]
    return f"did you mean {' or '.join(matches)}?" if matches else None


def read(shape: Shape, value: object, path: KeyPath, document: Document) -> Any:
    """The meaning of ``value``, which stands at ``path``. Raises ``ConfigError`` for the first thing that is wrong."""
    reader: Callable[[Any, object, KeyPath, Document], Any] = _READERS[type(shape)]
    return reader(shape, value, path, document)


@contextmanager
def located(document: Document, path: KeyPath, *, at_key: bool = False, keys: object = None) -> Iterator[None]:
    """Say where the value is that a type refuses within the block; message and hint are kept.

    ``keys`` is the table that was made into a value, if it was one: an error of kind ``invalid-delimiter`` is then the
    fault of its key ``delimiter``.
    """
    try:
        yield
    except InvalidValue as error:
        blamed = _blamed(error, keys)
        place, at_key = ((*path, blamed), False) if blamed else (path, at_key)
        raise document.error(place, error.message, hint=error.hint, at_key=at_key) from error
    except DefinitionError as error:
        raise document.error(path, error.message, hint=error.hint, at_key=at_key) from error


def _blamed(error: InvalidValue, keys: object) -> str | None:
    word = error.kind.removeprefix("invalid-")
    names: Iterable[str] = keys if isinstance(keys, dict) and word != error.kind else ()
    return next((name for name in names if name == word or name.endswith(f"_{word}")), None)


def _text(shape: Text, value: object, path: KeyPath, document: Document) -> Any:
    if not isinstance(value, str):
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and isinstance(path[-1], str)
        hint = f'write {path[-1]} = "{document.written(path)}{shape.suffix}"' if number else None
        raise _unexpected(shape.expected, value, path, document, hint=hint)
    with located(document, path):
        return shape.parse(value)


def _choice(shape: Choice, value: object, path: KeyPath, document: Document) -> Any:
    if not isinstance(value, str) or value not in shape.words:
        hint = close(value, shape.words) if isinstance(value, str) else None
        raise _unexpected(f"one of: {', '.join(shape.words)}", value, path, document, hint=hint)
    return shape.parse(value)


def _switch(_: Switch, value: object, path: KeyPath, document: Document) -> bool:
    if not isinstance(value, bool):
        raise _unexpected("true or false", value, path, document, hint="write the word alone, without quotes")
    return value


def _scalar(shape: Scalar, value: object, path: KeyPath, document: Document) -> object:
    if not isinstance(value, (str, int, float)):
        hint = shape.no_table if isinstance(value, dict) else None
        raise _unexpected("a string, a number, true or false", value, path, document, hint=hint)
    return value


def _items(shape: Items, value: object, path: KeyPath, document: Document) -> tuple[Any, ...]:
    if not isinstance(value, list):
        hint = f"write {path[-1]} = [{_shown(value)}]" if isinstance(value, str) else None
        raise _unexpected("a list of strings", value, path, document, hint=hint)
    if len(value) < shape.least:
        raise document.error(path, "expected a list of strings; found an empty one")
    return tuple(_text(shape.element, element, (*path, index), document) for index, element in enumerate(value))


def _table(shape: Table, value: object, path: KeyPath, document: Document) -> Any:
    return _keys(shape, _mapping(value, path, document), path, document, before=())


def _variants(shape: Variants, value: object, path: KeyPath, document: Document) -> Any:
    mapping = _mapping(value, path, document, words=tuple(shape.tables))
    words = f"one of: {', '.join(shape.tables)}"
    if "type" not in mapping:
        _refuse_unknown(mapping, ("type", *_keys_of_all(shape)), path, document)
        raise document.error(path, f"missing key 'type' ({words})", at_key=True, hint=_type_hint(shape, mapping))
    kind = mapping["type"]
    if not isinstance(kind, str) or kind not in shape.tables:
        hint = close(kind, shape.tables) if isinstance(kind, str) else None
        raise _unexpected(words, kind, (*path, "type"), document, hint=hint)
    rest = {key: member for key, member in mapping.items() if key != "type"}
    return _keys(shape.tables[kind], rest, path, document, before=("type",))


def _keys_of_all(shape: Variants) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for table in shape.tables.values() for key in table.keys))


def _type_hint(shape: Variants, mapping: Mapping[str, object]) -> str | None:
    """The types that have all the keys of ``mapping``, unless there are too many to name."""
    types = [f'"{kind}"' for kind, table in shape.tables.items() if mapping and set(mapping) <= set(table.keys)]
    return f"with these keys it is type = {' or '.join(types)}" if types else None


def _refuse_unknown(
    mapping: Mapping[str, object],
    known: tuple[str, ...],
    path: KeyPath,
    document: Document,
    misplaced: Mapping[str, str] = MappingProxyType({}),
) -> None:
    for key in mapping:
        if key not in known:
            problem = f"unknown key {key!r} (expected one of: {', '.join(known)})"
            hint = misplaced.get(key) or close(key, known)
            raise document.error(path, problem, hint=hint, at=(*path, key), at_key=True)


def _keys(
    shape: Table, mapping: Mapping[str, object], path: KeyPath, document: Document, *, before: tuple[str, ...]
) -> Any:
    """The known keys of a table; ``before`` are those read already."""
    _refuse_unknown(mapping, (*before, *shape.keys), path, document, shape.misplaced)
    for key, known_key in shape.keys.items():
        if known_key.required and key not in mapping:
            raise document.error(path, f"missing key {key!r} ({_wanted(known_key.shape)})", at_key=True)
    values = {key: read(shape.keys[key].shape, member, (*path, key), document) for key, member in mapping.items()}
    with located(document, path, at_key=True):
        return shape.build(**values)


def _named(shape: Named, value: object, path: KeyPath, document: Document) -> Any:
    made: dict[Any, Any] = {}
    for key, member in _mapping(value, path, document).items():
        place = (*path, key)
        with located(document, place, at_key=True):
            name = shape.name.parse(key)
        content = read(shape.shape, member, place, document)
        with located(document, place, at_key=True, keys=member):
            made[name] = shape.make(name, content)
    with located(document, path, at_key=True):
        return shape.build(made)


_READERS: Mapping[type, Callable[[Any, object, KeyPath, Document], Any]] = {
    Text: _text,
    Choice: _choice,
    Switch: _switch,
    Scalar: _scalar,
    Items: _items,
    Table: _table,
    Named: _named,
    Variants: _variants,
}


def _mapping(value: object, path: KeyPath, document: Document, *, words: tuple[str, ...] = ()) -> Mapping[str, object]:
    """A table; ``words`` are the types it could be of, which people write in its place."""
    if not isinstance(value, dict):
        hint = f"write {path[-1]} = {{ type = {_shown(value)} }}" if value in words else None
        raise _unexpected("a table", value, path, document, hint=hint)
    return value


def _unexpected(
    wanted: str, value: object, path: KeyPath, document: Document, *, hint: str | None = None
) -> ConfigError:
    return document.error(path, f"expected {wanted}; found {_found(value, document.written(path))}", hint=hint)


def _wanted(shape: Shape) -> str:
    """What a missing value would have to be."""
    match shape:
        case Text():
            return shape.expected
        case Choice():
            return f"one of: {', '.join(shape.words)}"
        case Items():
            return "a list of strings"
        case Table():
            return f"a table with {', '.join(shape.keys)}"
        case _:
            return "a value"


def _found(value: object, written: str) -> str:
    """A value in TOML's words, a number as it is ``written``."""
    if isinstance(value, str):
        return f"the string {_shown(value)}"
    word = next(word for kind, word in _WORDS if isinstance(value, kind))
    return f"{word} {written}" if word.startswith("the ") else word


_WORDS: tuple[tuple[type, str], ...] = (
    (bool, "the boolean"),
    (int, "the integer"),
    (float, "the float"),
    (dict, "a table"),
    (list, "a list"),
    (dt.date, "a date"),
    (dt.time, "a time"),
)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
