"""Reading parsed JSON member by member; what has another shape raises ``InvalidValue`` (``unparsed``). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pg_ephemeral.errors import InvalidValue

__all__ = ["a_text", "an_object", "array", "document", "nothing", "number", "text", "texts"]


def nothing() -> Mapping[str, str]:
    """No texts."""
    return MappingProxyType({})


def document(content: bytes, what: str) -> dict[str, Any]:
    """Parse a document, which is an object."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{what} is not JSON", kind="unparsed") from error
    return an_object(value, what)


def an_object(value: Any, what: str) -> dict[str, Any]:
    """See that it is an object."""
    if not isinstance(value, dict):
        raise InvalidValue(f"{what} is no object", kind="unparsed")
    return value


def array(members: dict[str, Any], name: str) -> list[Any]:
    """The member that is an array."""
    value = members.get(name)
    if not isinstance(value, list):
        raise InvalidValue(f"{name} is no array", kind="unparsed")
    return value


def a_text(value: Any, what: str) -> str:
    """See that it is a text."""
    if not isinstance(value, str):
        raise InvalidValue(f"{what} is no text", kind="unparsed")
    return value


def text(members: dict[str, Any], name: str, what: str) -> str:
    """The member that is a text."""
    return a_text(members.get(name), f"{what}: {name}")


def number(members: dict[str, Any], name: str) -> int:
    """The member that is a whole number."""
    value = members.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue(f"descriptor: {name} is no whole number", kind="unparsed")
    return value


def texts(value: Any, what: str) -> Mapping[str, str]:
    """Texts by name, none for null."""
    if value is None:
        return nothing()
    return MappingProxyType({name: a_text(text, what) for name, text in an_object(value, what).items()})
