"""Loading the seeds of a definition, and what is the same for all kinds of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from pg_ephemeral.chain import BaseIdentity, ClusterInputs, RootInputs, make_chain
from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.seeds import (
    KINDS,
    Command,
    CommandHash,
    ContainerScript,
    CsvFile,
    KeyScript,
    NoCache,
    Script,
    Seed,
    SqlFile,
    SqlStatement,
    load_seeds,
)
from pg_ephemeral.seeds.base import SeedName
from support.seed_target import FakeTarget, load, write

SECRET = "swordfish"  # what must not be shown

SEEDS: dict[str, Seed] = {
    "sql-file": SqlFile(name=SeedName("a"), path=Path("a.sql")),
    "sql-statement": SqlStatement(name=SeedName("b"), statement=f"SELECT '{SECRET}'"),
    "csv-file": CsvFile(name=SeedName("c"), path=Path("c.csv"), table="t"),
    "command": Command(name=SeedName("d"), command="true", arguments=(SECRET,)),
    "script": Script(name=SeedName("e"), script=f"true {SECRET}", cache=KeyScript(script=f"echo {SECRET}")),
    "container-script": ContainerScript(name=SeedName("f"), script=f"true {SECRET}"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, a_sql=f"SELECT '{SECRET}';", c_csv="a\n1\n")
    return tmp_path


def script(name: str, text: str = "true", *, cached: bool = True) -> Script:
    return Script(name=SeedName(name), script=text, cache=CommandHash() if cached else NoCache())


def test_there_is_a_seed_of_every_kind_here() -> None:
    assert SEEDS.keys() == KINDS.keys()
    assert {kind: type(seed) for kind, seed in SEEDS.items()} == dict(KINDS)


@pytest.mark.parametrize("kind", SEEDS)
class TestEveryKind:
    def test_it_is_a_seed(self, kind: str, project: Path) -> None:
        seed = SEEDS[kind]
        assert isinstance(seed, Seed)
        assert seed.kind == kind
        loaded = load(seed, project)
        assert loaded.seed is seed
        assert loaded.key_kind == kind
        assert loaded.needs_build is (kind == "container-script")

    # fault: W51
    def test_it_has_a_timeout_that_is_no_input(self, kind: str, project: Path) -> None:
        assert SEEDS[kind].timeout is None
        limited = replace(SEEDS[kind], timeout=0.5)  # type: ignore[type-var] # every kind is a struct
        assert isinstance(limited, Seed)
        assert limited.timeout == 0.5
        assert load(limited, project).inputs == load(SEEDS[kind], project).inputs
        for none in (0, -1, float("nan")):
            with pytest.raises(InvalidValue, match="timeout"):
                replace(SEEDS[kind], timeout=none)  # type: ignore[type-var] # as above

    def test_its_inputs_hold_no_path_of_this_machine(self, kind: str, project: Path) -> None:
        assert str(project) not in str(load(SEEDS[kind], project).inputs)

    def test_the_working_directory_does_not_matter(
        self, kind: str, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = load(SEEDS[kind], project).inputs
        monkeypatch.chdir("/")
        assert load(SEEDS[kind], project).inputs == before


def test_seeds_keep_their_order(project: Path) -> None:
    seeds = [script(name) for name in "zma"]
    assert [one.seed.name for one in load_seeds(seeds, project)] == ["z", "m", "a"]


# acceptance: 87
# fault: W48
def test_behind_a_seed_that_is_not_cached_nothing_has_a_key(project: Path) -> None:
    touch = KeyScript(script="touch ran")
    seeds = [script("one"), script("two", cached=False), Script(name=SeedName("three"), script="x", cache=touch)]
    assert [one.inputs is not None for one in load_seeds(seeds, project)] == [True, False, False]
    assert not (project / "ran").exists()


# fault: W14
def test_kinds_with_one_text_have_different_keys(project: Path) -> None:
    write(project, a_sql="true")
    alike: list[Seed] = [
        SqlFile(name=SeedName("a"), path=Path("a.sql")),
        SqlStatement(name=SeedName("a"), statement="true"),
        script("a"),
        ContainerScript(name=SeedName("a"), script="true"),
        Command(name=SeedName("a"), command="true"),
    ]
    identity = BaseIdentity(fields={}, platform="linux/amd64", version="18.0")
    cluster = ClusterInputs(identity=identity, superuser="postgres", database="postgres")
    root = RootInputs(parameters={}, test_profile=True, tls=None)
    keys = {make_chain(cluster, root, [load(seed, project)]).stages[0].key for seed in alike}
    assert len(keys) == len(alike)


def test_a_container_script_runs_where_the_servers_files_are_and_nowhere_else(project: Path) -> None:
    seed = ContainerScript(name=SeedName("packages"), script="touch ran")
    load(seed, project).apply(FakeTarget(directory=project))
    assert (project / ".script").read_text() == "packages: touch ran"
    assert not (project / "ran").exists()
