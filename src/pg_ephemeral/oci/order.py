"""The order of values: all comparisons of a class that has one of them. No types live here."""

from __future__ import annotations

from typing import Protocol, TypeVar

__all__ = ["ordered"]


class _Comparable(Protocol):
    def __lt__(self, other: object, /) -> bool: ...


_T = TypeVar("_T")


def ordered(values: type[_T]) -> type[_T]:
    """Give a struct the comparisons that follow from its ``__lt__``, which is a total order.

    ``functools.total_ordering`` gives it none: a struct has methods for all of them, which refuse to compare.
    """

    def greater(one: _Comparable, other: _Comparable) -> bool:
        return other < one

    def at_most(one: _Comparable, other: _Comparable) -> bool:
        return not other < one

    def at_least(one: _Comparable, other: _Comparable) -> bool:
        return not one < other

    for name, comparison in (("__gt__", greater), ("__le__", at_most), ("__ge__", at_least)):
        setattr(values, name, comparison)
    return values
