"""What ``cache pull`` says of the registry when a stage is here and none was pulled."""

from __future__ import annotations

from pathlib import Path

import pytest

from pg_ephemeral.cache import open_cache
from pg_ephemeral.cli.cache_sharing import _pulled, _pushed
from pg_ephemeral.definition import Definition
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.oci.state import State
from pg_ephemeral.sharing import Looked, PullReport, PushReport
from support.memory import MemoryBackend
from support.seeds import words


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], ""),
        ([State.ABSENT, State.ABSENT], " and the registry has none that is newer"),
        ([State.ABSENT, State.CORRUPT], " and what is newer in the registry is damaged"),
        ([State.HIDDEN, State.HIDDEN], " and the registry shows us none that is newer"),
        ([State.HIDDEN, State.CORRUPT], " and what is newer in the registry is damaged"),
    ],
)
def test_what_is_newer_is_called_what_it_is(tmp_path: Path, states: list[State], said: str) -> None:
    definition = Definition(seeds=words("a b"), directory=Path("/"), cache_registry=Registry.parse("ghcr.io/owner"))
    cache = open_cache(definition, MemoryBackend(tmp_path))
    here = cache.reference(cache.chain.keys[0])
    looked = tuple(Looked(name="a", reference=here, state=state) for state in states)
    report = PullReport(cache=cache, present=here, pulled=None, looked=looked)
    assert _pulled(report) == f"Present: {here}{said}"


def test_what_is_missing_for_a_push_is_named(tmp_path: Path) -> None:
    cache = open_cache(Definition(directory=Path("/")), MemoryBackend(tmp_path))
    report = PushReport(cache=cache, stages=())
    assert "no stage is here" in _pushed(report)
    assert "the last stage is not here" in _pushed(report, tip=True)
