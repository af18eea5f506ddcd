"""Engines take turns in tests of what is above the backends. No test is in here."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from support import machine

if TYPE_CHECKING:
    import pytest

#: What is in these modules is the same code on every engine, so each case is shown on one of them.
_MODULES = frozenset(
    {
        "test_cli_engine",
        "test_engine_cleanup",
        "test_engine_container_script",
        "test_engine_stages",
        "test_examples",
        "test_hindering_seeds",
        "test_manager",
        "test_sharing_faults",
        "test_sharing_login",
        "test_sharing_race",
        "test_sharing_registry",
    }
)
ALL_VARIABLE = "PG_EPHEMERAL_TEST_ALL"


def are_taken() -> bool:
    """Whether there is more than one engine here, and nobody asked for every test on each."""
    return not os.environ.get(ALL_VARIABLE) and all(machine.abilities()[engine] is None for engine in machine.ENGINES)


def left_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of each case that every engine could show, all but one."""
    cases: dict[str, dict[str, pytest.Item]] = {}
    for item in items:
        engine = engine_of(item)
        if engine is not None and item.path.stem in _MODULES:
            cases.setdefault(item.nodeid.replace(engine, "engine"), {})[engine] = item
    several = (case for case in cases.values() if len(case) == len(machine.ENGINES))
    turns = zip(several, itertools.cycle(machine.ENGINES), strict=False)
    return [item for case, turn in turns for engine, item in case.items() if engine != turn]


def engine_of(item: pytest.Item) -> str | None:
    """The engine that a test is about, if it is about one."""
    found = {name for mark in item.iter_markers("needs") for name in mark.args}.intersection(machine.ENGINES)
    return found.pop() if len(found) == 1 else None
