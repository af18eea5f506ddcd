"""The builders of a definition: each adds what it is named after, to a copy, and checks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pg_ephemeral.definition import BackendChoice, Definition
from pg_ephemeral.errors import DefinitionError, InvalidValue
from pg_ephemeral.seeds import (
    Command,
    CommandHash,
    ContainerScript,
    CsvFile,
    NoCache,
    Script,
    Seed,
    SqlFile,
    SqlStatement,
)
from pg_ephemeral.seeds.base import SeedName

_HERE = Path("/project")
_NAME = SeedName("schema")


def _start() -> Definition:
    return Definition(directory=_HERE)


_BUILDERS: list[tuple[Callable[[Definition, str], Definition], Seed]] = [
    (
        lambda definition, name: definition.add_seed(SqlStatement(name=SeedName(name), statement="SELECT 1")),
        SqlStatement(name=_NAME, statement="SELECT 1"),
    ),
    (
        lambda definition, name: definition.apply_file(name, "a.sql"),
        SqlFile(name=_NAME, path=Path("a.sql")),
    ),
    (
        lambda definition, name: definition.apply_file_from_git_revision(name, "a.sql", "v1"),
        SqlFile(name=_NAME, path=Path("a.sql"), git_revision="v1"),
    ),
    (
        lambda definition, name: definition.apply_sql_statement(name, "SELECT 1"),
        SqlStatement(name=_NAME, statement="SELECT 1"),
    ),
    (
        lambda definition, name: definition.apply_csv_file(name, "a.csv", table="person"),
        CsvFile(name=_NAME, path=Path("a.csv"), schema="public", table="person"),
    ),
    (
        lambda definition, name: definition.apply_command(name, "migrate", ["up"]),
        Command(name=_NAME, command="migrate", arguments=("up",), cache=CommandHash()),
    ),
    (
        lambda definition, name: definition.apply_script(name, "true", cache=NoCache()),
        Script(name=_NAME, script="true", cache=NoCache()),
    ),
    (
        lambda definition, name: definition.apply_container_script(name, "true"),
        ContainerScript(name=_NAME, script="true"),
    ),
]
_IDS = ["seed", "file", "file at a revision", "statement", "csv", "command", "script", "container-script"]

_builders = pytest.mark.parametrize(("build", "seed"), _BUILDERS, ids=_IDS)


# acceptance: 15
@_builders
def test_each_builder_adds_exactly_one_seed(build: Callable[[Definition, str], Definition], seed: Seed) -> None:
    before = _start()
    assert build(before, "schema").seeds == (seed,)
    assert before.seeds == (), "a definition does not change"


# acceptance: 14
@_builders
def test_another_name_goes_after_it(build: Callable[[Definition, str], Definition], seed: Seed) -> None:
    definition = build(build(_start(), "schema"), "data")
    assert definition.seeds[0] == seed
    assert [one.name for one in definition.seeds] == ["schema", "data"]


# acceptance: 13
@_builders
@pytest.mark.parametrize("first", [build for build, _ in _BUILDERS], ids=_IDS)
def test_a_name_that_is_taken_is_refused_whichever_way_it_came(
    build: Callable[[Definition, str], Definition], seed: Seed, first: Callable[[Definition, str], Definition]
) -> None:
    with pytest.raises(DefinitionError, match=f"instance 'main' has two seeds named {seed.name!r}"):
        build(first(_start(), seed.name), seed.name)


@_builders
def test_a_malformed_name_is_refused(build: Callable[[Definition, str], Definition], seed: Seed) -> None:
    with pytest.raises(InvalidValue, match="seed name"):
        build(_start(), "My Seed")


# acceptance: 67
@pytest.mark.parametrize(
    ("value", "text"), [("16MB", "16MB"), ("", ""), (7, "7"), (0.5, "0.5"), (True, "on"), (False, "off")]
)
def test_a_parameter_is_kept_under_its_name(value: str | float | bool, text: str) -> None:
    assert _start().with_parameter("work_mem", value).parameters == {"work_mem": text}


# acceptance: 67
def test_of_a_parameter_given_twice_the_last_counts() -> None:
    definition = _start().with_parameter("work_mem", "1MB").with_parameter("jit", "off").with_parameter("work_mem", 2)
    assert definition.parameters == {"jit": "off", "work_mem": "2"}
    assert definition.with_parameter("WORK_MEM", 3).parameters == {"WORK_MEM": "3", "jit": "off"}


def test_the_directory_stays_where_it_was_when_the_definition_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "db").mkdir()
    monkeypatch.chdir(tmp_path)
    definition = Definition(directory=Path("db"))
    monkeypatch.chdir("/")
    assert definition.directory == tmp_path / "db"
    assert Definition(directory=_HERE).directory == _HERE


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda one: one.with_instance("shop"), {"instance": "shop"}),
        (lambda one: one.with_backend("embedded"), {"backend": BackendChoice.EMBEDDED}),
        (lambda one: one.with_superuser("admin"), {"superuser": "admin"}),
        (lambda one: one.with_database("shop"), {"database": "shop"}),
        (lambda one: one.with_wait_available_timeout(0.5), {"wait_available_timeout": 0.5}),
        (lambda one: one.with_test_profile(enabled=False), {"test_profile": False}),
    ],
)
def test_a_setter_changes_one_thing_of_a_copy(
    build: Callable[[Definition], Definition], expected: dict[str, object]
) -> None:
    before = _start()
    after = build(before)
    changed = {name for name in Definition.__slots__ if getattr(before, name) != getattr(after, name)}
    assert changed == set(expected)
    assert {name: getattr(after, name) for name in expected} == expected
    assert before == _start()


def test_image_and_tls_are_read_from_text() -> None:
    definition = _start().with_image("17.6-trixie").with_tls("db.example.com")
    assert str(definition.image) == "17.6-trixie"
    assert definition.tls is not None
    assert definition.tls.hostname == "db.example.com"


@pytest.mark.parametrize(
    "build",
    [
        lambda one: one.with_instance("My Shop"),
        lambda one: one.with_image("LATEST"),
        lambda one: one.with_tls("not a host"),
        lambda one: one.with_superuser(""),
        lambda one: one.with_superuser("pg_admin"),
        lambda one: one.with_database("x" * 64),
        lambda one: one.with_wait_available_timeout(0),
        lambda one: one.with_parameter("9invalid", "x"),
    ],
)
def test_a_malformed_value_is_refused_when_it_is_given(build: Callable[[Definition], Definition]) -> None:
    with pytest.raises(InvalidValue):
        build(_start())
