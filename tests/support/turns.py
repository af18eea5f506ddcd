"""Engines take turns in tests of what is above the backends. No test is in here."""

from __future__ import annotations

import itertools
import os
import re
from typing import TYPE_CHECKING

from support import machine

if TYPE_CHECKING:
    import pytest

#: What is in these modules is the same code on every engine, so each case is shown on one of them.
_MODULES = frozenset(
    {
        "test_cli_engine",
        "test_engine_boot",
        "test_engine_cleanup",
        "test_engine_cluster",
        "test_engine_container_script",
        "test_engine_network",
        "test_engine_short_seeds",
        "test_engine_stages",
        "test_examples",
        "test_hindering_seeds",
        "test_manager",
        "test_pytest_plugin_engines",
        "test_sharing_faults",
        "test_sharing_login",
        "test_sharing_race",
        "test_sharing_registry",
    }
)
ALL_VARIABLE = "PG_EPHEMERAL_TEST_ALL"

_ANY = re.compile("|".join(machine.ENGINES))


def every_case_is_wanted() -> bool:
    """Whether somebody asked for every test on each engine, and in each of several ways to the same."""
    return bool(os.environ.get(ALL_VARIABLE))


def are_taken() -> bool:
    """Whether there is more than one engine here, and nobody asked for every test on each."""
    return not every_case_is_wanted() and all(machine.abilities()[engine] is None for engine in machine.ENGINES)


def left_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of each case that every engine could show, or every order of them, all but one."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.path.stem in _MODULES and engines_of(item) and not any(item.iter_markers("each_engine")):
            cases.setdefault(_ANY.sub("engine", item.nodeid), []).append(item)
    several = (case for case in cases.values() if len(case) == len(machine.ENGINES))
    turns = zip(several, itertools.cycle(range(len(machine.ENGINES))), strict=False)
    return [item for case, turn in turns for item in case if item is not case[turn]]


def engines_of(item: pytest.Item) -> set[str]:
    """The engines that a test is about."""
    return {name for mark in item.iter_markers("needs") for name in mark.args}.intersection(machine.ENGINES)
