"""The JSON Schema of ``database.toml``, generated from the shape that reads it; for editors, not for the loader.

It is shipped beside this module as ``database.schema.json``. Editors with a TOML language server (Taplo, Even Better
TOML, Tombi) complete and check a file by it when told where it is on the file's first line::

    #:schema /path/to/pg_ephemeral/config/database.schema.json

A schema cannot say everything: whatever the loader takes the schema takes, and most of what it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pg_ephemeral.config.model import FILE
from pg_ephemeral.config.shape import Choice, Items, Key, Named, Scalar, Shape, Switch, Table, Text, Variants

__all__ = ["SCHEMA_FILE", "schema", "schema_text"]

#: Where the schema is shipped.
SCHEMA_FILE: Final = Path(__file__).with_name("database.schema.json")

_DIALECT = "http://json-schema.org/draft-07/schema#"  # what TOML language servers know


def schema() -> dict[str, Any]:
    """The schema, as draft 7 of JSON Schema."""
    return {"$schema": _DIALECT, "title": "pg-ephemeral database.toml", **_of(FILE)}


def schema_text() -> str:
    """The schema as the file that is shipped."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _of(shape: Shape) -> dict[str, Any]:
    match shape:
        case Text():
            return _text(shape)
        case Choice():
            return {"type": "string", "enum": list(shape.words)}
        case Switch():
            return {"type": "boolean"}
        case Scalar():
            return {"type": ["string", "number", "boolean"]}
        case Items():
            items = {"type": "array", "items": _text(shape.element)}
            return items | ({"minItems": shape.least} if shape.least else {})
        case Table():
            return _table(shape.keys, description=shape.description)
        case Named():
            return _named(shape)
        case Variants():
            return {"type": "object", "required": ["type"], "oneOf": _variants(shape)}


def _text(shape: Text) -> dict[str, Any]:
    limits = {
        "pattern": shape.pattern,
        "maxLength": shape.longest,
        "examples": list(shape.examples) or None,
    }
    return {"type": "string"} | {word: limit for word, limit in limits.items() if limit is not None}


def _table(keys: Mapping[str, Key], *, description: str, first: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = dict(first or {})
    required = list(properties)
    for name, key in keys.items():
        default = {} if key.default is None else {"default": key.default}
        rules = {word: rule for word, rule in _of(key.shape).items() if word != "description"}
        properties[name] = {"description": key.description, **rules, **default}
        if key.required:
            required.append(name)
    table: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return ({"description": description} if description else {}) | table | ({"required": required} if required else {})


def _named(shape: Named) -> dict[str, Any]:
    names: dict[str, Any] = {"not": {"enum": list(shape.excluded)}} if shape.excluded else {}
    return {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {shape.name.pattern or "": _of(shape.shape)},
    } | ({"propertyNames": names} if names else {})


def _variants(shape: Variants) -> list[dict[str, Any]]:
    return [
        _table(
            table.keys, description=table.description, first={"type": {"const": kind, "description": table.description}}
        )
        for kind, table in shape.tables.items()
    ]
