"""The check: what one machine pushed, an empty one pulls and boots without applying a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manager.documents import HIT, MISS, Pull, Push, Status
from manager.errors import ManagerError, RowsMismatch, StatusMismatch
from manager.program import CLEARING_LIMIT, Program, find
from manager.scratch import SEEDS, scratch_project
from manager.settings import Settings

_QUERY = "SELECT name, run, made FROM step ORDER BY name"
_STATUS = ("cache", "status", "--json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a seed left in the database. ``made`` is another one each time the seed is applied."""

    seed: str
    run: str
    made: str


def check(
    settings: Settings, *, told: Callable[[str], None], program: str | None = None, below: Path | None = None
) -> None:
    """Populate, push, forget, pull, boot, and compare at every step. Raises ``ManagerError``.

    ``told`` gets a line for each step; ``program`` is another pg-ephemeral than that on PATH; the scratch directory is
    made ``below``.
    """
    executable = find(program)
    with scratch_project(settings, below=below) as scratch:
        one = Program(executable=executable, scratch=scratch, instance=settings.instance, told=told)
        with _forgetting(one):
            _steps(one, settings, told)


def _steps(program: Program, settings: Settings, told: Callable[[str], None]) -> None:
    told(f"instance {settings.instance}, registry {settings.registry}")
    populated = _expect("populate", _status(program, "cache", "populate", "--json"), {HIT})
    made = _rows(program, settings)
    told(f"populated: {_words(populated)}; the rows are there")

    _pushed(program, populated)
    told(f"pushed to {settings.registry}")

    program.run("cache", "reset", "--force")
    _expect("reset", _status(program, *_STATUS), {MISS})
    told("forgotten here: every seed is a miss")

    _pulled(program, populated)
    after_pull = _tip_is_a_hit("pull", _status(program, *_STATUS))
    told(f"pulled: {_words(after_pull)}")

    found = _rows(program, settings)
    if found != made:
        raise RowsMismatch(
            "boot: the rows are not those that were pushed: a seed was applied anew", detail=_compared(made, found)
        )
    after_boot = _status(program, *_STATUS)
    if after_boot.words != after_pull.words:
        raise StatusMismatch(f"boot: it built a stage: {_words(after_pull)} became {_words(after_boot)}")
    told("booted from the tip: the rows are those that were pushed, no seed was applied")


def _status(program: Program, *words: str) -> Status:
    return Status.parse(" ".join(words[:2]), program.run(*words))


def _expect(step: str, status: Status, wanted: set[str]) -> Status:
    """Every seed there, and all of them so. Raises ``StatusMismatch``."""
    if tuple(seed.name for seed in status.seeds) != SEEDS:
        raise StatusMismatch(f"{step}: the seeds should be {', '.join(SEEDS)}, and are {_words(status) or 'none'}")
    if not all(seed.status in wanted for seed in status.seeds):
        raise StatusMismatch(f"{step}: every seed should be a {' or '.join(sorted(wanted))}: {_words(status)}")
    return status


def _tip_is_a_hit(step: str, status: Status) -> Status:
    _expect(step, status, {HIT, MISS})
    if status.seeds[-1].status != HIT:
        raise StatusMismatch(f"{step}: the last seed should be a hit: {_words(status)}")
    return status


def _pushed(program: Program, populated: Status) -> None:
    """Both stages went to the registry now: their keys are this run's alone, so it cannot have had them."""
    stages = dict(Push.parse("cache push", program.run("cache", "push", "--json")).stages)
    for seed in populated.seeds:
        became = stages.get(seed.image, "not mentioned")
        if became != "pushed":
            raise StatusMismatch(f"push: seed {seed.name!r} should be pushed, and is {became}: {seed.image}")


def _pulled(program: Program, populated: Status) -> None:
    tip = populated.seeds[-1].image
    pulled = Pull.parse("cache pull", program.run("cache", "pull", "--json")).pulled
    if pulled != tip:
        raise StatusMismatch(f"pull: it should fetch {tip}, and fetched {pulled or 'nothing'}")


def _rows(program: Program, settings: Settings) -> tuple[Row, ...]:
    """Boot and read. Raises ``RowsMismatch`` when it is not a row of this run for each seed."""
    text = program.run("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", _QUERY)
    fields = [line.split("|") for line in text.splitlines()]
    rows = tuple(Row(seed=one[0], run=one[1], made=one[2]) for one in fields if len(one) == len(Row.__slots__))
    if len(rows) != len(fields) or [(row.seed, row.run) for row in rows] != [(name, settings.token) for name in SEEDS]:
        raise RowsMismatch("boot: there should be one row of this run for each seed", detail=text[:1000])
    return rows


def _words(status: Status) -> str:
    return ", ".join(f"{name} {word}" for name, word in status.words)


def _compared(made: tuple[Row, ...], found: tuple[Row, ...]) -> str:
    return "\n".join(f"{then.seed}: {then.made} then, {now.made} now" for then, now in zip(made, found, strict=True))


@contextmanager
def _forgetting(program: Program) -> Iterator[None]:
    """At the end of the block, remove what an engine's store holds of this run: it lies outside the scratch directory.

    That this fails is told and is no failure of the check.
    """
    try:
        yield
    finally:
        try:
            program.run("cache", "reset", "--force", limit=CLEARING_LIMIT)
        except ManagerError as error:
            program.told(f"warning: stages of {program.instance} may be left on this machine: {error.message}")
