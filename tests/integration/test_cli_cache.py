"""``cache status``, ``populate``, ``reset``, ``inspect`` and ``credentials``, as a user runs them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pg_ephemeral.version import VERSION
from support.project import Project

pytestmark = pytest.mark.needs("embedded")

_ONE = """
[instances.main.seeds.schema]
type = "sql-file"
path = "a.sql"
"""
_TWO = f"""{_ONE}
[instances.main.seeds.rows]
type = "sql-file"
path = "b.sql"
"""
_BROKEN = f"""{_ONE}
[instances.main.seeds.live]
type = "script"
script = "true"
cache = {{ type = "none" }}

[instances.main.seeds.after]
type = "sql-file"
path = "b.sql"
"""


@pytest.fixture
def project(tmp_path: Path, warm_cache: Path) -> Project:
    """A project on the shared cache: for tests whose seeds are not cached by another test."""
    directory = tmp_path / "project"
    directory.mkdir()
    project = Project(directory=directory, cache=warm_cache)
    project.write(a_sql="CREATE TABLE a (id integer);\n", b_sql="INSERT INTO a VALUES (1);\n")
    return project


@pytest.fixture
def cold(project: Project, cache_directory: Path) -> Project:
    """The same on an empty cache of its own."""
    project.cache = cache_directory
    return project


_FOUR = """
[instances.main.seeds.schema]
type = "sql-file"
path = "a.sql"

[instances.main.seeds.old]
type = "sql-file"
path = "a.sql"
git_revision = "HEAD"

[instances.main.seeds.command]
type = "command"
command = "true"
cache = { type = "command-hash" }

[instances.main.seeds.script]
type = "script"
script = "true"
"""


# acceptance: 85
def test_status_of_four_kinds_is_this_document(cold: Project) -> None:
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=cold.directory, check=True)
    cold.write(database_toml=_FOUR)
    images = cold.images()
    assert cold.ok("cache", "status", "--json") == (
        json.dumps(
            {
                "instance": "main",
                "base_image": "latest",
                "version": VERSION,
                "summary": {"total": 4, "hits": 0, "misses": 4, "uncacheable": 0},
                "seeds": [
                    {"name": name, "type": kind, "status": "miss", "cache_image": image}
                    for (name, kind), image in zip(
                        (
                            ("schema", "sql-file"),
                            ("old", "sql-file-git-revision"),
                            ("command", "command"),
                            ("script", "script"),
                        ),
                        images,
                        strict=True,
                    )
                ],
            },
            indent=2,
        )
        + "\n"
    )
    assert all(image is not None and image.startswith("pg-ephemeral/main:") for image in images)
    assert len(set(images)) == 4


# acceptance: 86
def test_status_is_deterministic_and_says_nothing_on_stderr(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    first, second = cold.run("cache", "status", "--json"), cold.run("cache", "status", "--json")
    assert (first.stdout, first.stderr) == (second.stdout, "")


def test_status_for_people(cold: Project) -> None:
    cold.write(database_toml=_BROKEN)
    assert cold.ok("cache", "status").splitlines() == [
        "Instance: main",
        "Image:    latest",
        f"Version:  {VERSION}",
        "",
        " Seed    Type      Status",
        " schema  sql-file  miss",
        " live    script    uncacheable",
        " after   sql-file  uncacheable",
    ]


# acceptance: 87
def test_a_seed_without_cache_breaks_the_chain(cold: Project) -> None:
    cold.write(database_toml=_BROKEN)
    document = cold.json("cache", "status", "--json")
    assert document["summary"] == {"total": 3, "hits": 0, "misses": 1, "uncacheable": 2}
    assert document["seeds"][1:] == [
        {"name": "live", "type": "script", "status": "uncacheable", "reason": "cache_strategy_none"},
        {
            "name": "after",
            "type": "sql-file",
            "status": "uncacheable",
            "reason": "chain_broken_by_predecessor",
            "broken_by": "live",
        },
    ]


# acceptance: 88, 90
def test_a_changed_file_changes_its_stage_and_those_after_it(cold: Project) -> None:
    cold.write(database_toml=_TWO)
    before = cold.images()
    cold.write(b_sql="INSERT INTO a VALUES (2);\n")
    later = cold.images()
    assert later[0] == before[0]
    assert later[1] != before[1]
    cold.write(a_sql="CREATE TABLE a (id bigint);\n")
    last = cold.images()
    assert not {*last} & {*before, *later}


# acceptance: 91
def test_the_registry_is_a_prefix_and_no_part_of_the_key(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    [bare] = cold.images()
    cold.write(database_toml=f'cache_registry = "ghcr.io/mbj"\n{_ONE}')
    assert cold.images() == [f"ghcr.io/mbj/{bare}"]
    assert cold.images("--cache-registry", "localhost:5000") == [f"localhost:5000/{bare}"]


_SEEDS_WITH_KEYS = ['type = "command"\ncommand = "true"\narguments = ["{}"]', 'type = "script"\nscript = "true {}"']
_KEYS = [
    '{ type = "key-command", command = "cat", arguments = ["version"] }',
    '{ type = "key-script", script = "cat version" }',
]


# acceptance: 92, 93, 94
@pytest.mark.parametrize("seed", _SEEDS_WITH_KEYS, ids=["command", "script"])
@pytest.mark.parametrize("key", _KEYS, ids=["key-command", "key-script"])
def test_what_a_key_program_prints_is_in_the_key(cold: Project, seed: str, key: str) -> None:
    def images(argument: str, version: str) -> list[str | None]:
        (cold.directory / "version").write_text(version)
        text = seed.replace("{}", argument)
        cold.write(database_toml=f"[instances.main.seeds.keyed]\n{text}\ncache = {key}\n")
        return cold.images()

    before = images("a", "1")
    assert images("a", "1") == before
    assert images("a", "2") != before
    assert images("b", "1") != before


# acceptance: 95
def test_tls_is_in_the_key(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    stages = {
        cold.images()[0],
        cold.images("--ssl-hostname", "one.test")[0],
        cold.images("--ssl-hostname", "two.test")[0],
    }
    assert len(stages) == 3


# acceptance: 89
def test_the_image_is_shown_as_it_is_written(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    version = cold.json("meta", "info", "--json")["version"]
    document = cold.json("--image", version, "cache", "status", "--json")
    assert document["base_image"] == version
    assert document != cold.json("cache", "status", "--json")


# acceptance: 96
def test_a_container_script_has_a_stage_although_this_backend_cannot_build_it(cold: Project) -> None:
    cold.write(database_toml='[instances.main.seeds.packages]\ntype = "container-script"\nscript = "true"\n')
    [seed] = cold.json("cache", "status", "--json")["seeds"]
    assert (seed["type"], seed["status"]) == ("container-script", "miss")
    assert isinstance(seed["cache_image"], str)
    done = cold.run("cache", "populate")
    assert (done.returncode, done.stdout) == (69, "")
    assert "seed 'packages' is a container-script" in done.stderr


# acceptance: 97
def test_a_key_program_that_fails_is_one_error_that_names_the_seed(cold: Project) -> None:
    cold.write(
        database_toml='[instances.main.seeds.keyed]\ntype = "script"\nscript = "true"\n'
        'cache = { type = "key-script", script = "exit 1" }\n'
    )
    done = cold.run("cache", "status")
    assert (done.returncode, done.stdout) == (66, "")
    assert done.stderr.startswith("error: ")
    assert "'keyed'" in done.stderr.splitlines()[0]
    assert "1" in done.stderr


# acceptance: 99
def test_populate_turns_misses_into_hits_and_says_so(cold: Project) -> None:
    cold.write(
        database_toml=f'{_ONE}\n[instances.main.seeds.rows]\ntype = "script"\n'
        "script = \"psql -qc 'INSERT INTO a VALUES (7)'; echo chatter\"\n"
    )
    done = cold.run("cache", "populate", "--json")
    assert done.returncode == 0, done.stderr
    assert [seed["status"] for seed in json.loads(done.stdout)["seeds"]] == ["hit", "hit"]
    lines = done.stderr.splitlines()
    assert "[1/2] schema (sql-file) …" in lines
    assert "chatter" in lines
    assert any(line.startswith("[2/2] rows built in ") for line in lines)
    assert lines[-1].startswith("main: cache populated in ")
    assert lines[-1].endswith(" (2 built)")

    again = cold.run("cache", "populate")
    assert again.stdout == cold.ok("cache", "status")
    assert again.stderr.endswith(" (2 reused)\n")
    assert cold.ok("psql", "-XAtc", "SELECT * FROM a") == "7\n"


# fault: W48
def test_a_key_program_runs_once_and_not_behind_a_broken_chain(cold: Project) -> None:
    seed = '[instances.main.seeds.{}]\ntype = "script"\nscript = "true"\ncache = {}\n'
    counting = '{ type = "key-script", script = "echo x >> runs" }'
    cold.write(
        database_toml=seed.format("one", counting)
        + seed.format("two", '{ type = "none" }')
        + seed.format("three", counting)
    )
    cold.ok("cache", "populate")
    assert (cold.directory / "runs").read_text() == "x\n"


def test_quiet_populate_writes_the_table_alone(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    done = cold.run("--quiet", "cache", "populate")
    assert (done.returncode, done.stderr) == (0, "")


def test_reset_removes_every_stage_and_names_it(cold: Project) -> None:
    cold.write(database_toml=_TWO)
    cold.ok("cache", "populate")
    images = cold.images()
    removed = cold.ok("cache", "reset", "--force").splitlines()
    assert {f"Removed: {image}" for image in images} <= {*removed}
    assert all(line.startswith("Removed: pg-ephemeral/main:") for line in removed)
    assert cold.json("cache", "status", "--json")["summary"]["hits"] == 0
    assert cold.ok("cache", "reset") == ""
    assert cold.json("cache", "reset", "--json") == {"removed": []}


def test_reset_as_json(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    cold.ok("cache", "populate")
    assert set(cold.images()) <= set(cold.json("cache", "reset", "--json")["removed"])


# fault: W16
def test_reset_can_keep_what_is_current_and_take_what_nobody_names(cold: Project) -> None:
    cold.write(database_toml=_TWO)
    cold.ok("cache", "populate")
    before = cold.images()
    cold.write(database_toml=_ONE)
    [current] = cold.images()
    assert cold.ok("cache", "reset", "--outdated").splitlines() == [
        f"Removed: {image}" for image in before if image != current
    ]
    assert cold.json("cache", "status", "--json")["summary"]["hits"] == 1

    cold.write(database_toml=_ONE.replace("instances.main", "instances.renamed"))
    assert cold.run("cache", "--instance", "main", "reset").returncode == 78
    gone = cold.json("cache", "reset", "--all", "--json")["removed"]
    assert current in gone
    assert list((cold.cache / "embedded" / "v1" / "stages").iterdir()) == []
    assert cold.run("cache", "reset", "--all", "--outdated").returncode == 2


# fault: W66
def test_inspect_needs_no_instance_of_that_name(cold: Project) -> None:
    cold.write(database_toml=_TWO)
    cold.ok("cache", "populate")
    _, image = cold.images()
    assert image is not None
    document = cold.json("cache", "inspect", image)
    assert list(document) == sorted(document)
    assert document["instance"] == "main"
    assert document["key"] == image.rpartition(":")[2]
    assert [seed["name"] for seed in document["seeds"]] == ["schema", "rows"]
    assert document["superuser"] == {"database": "postgres", "user": "postgres"}
    assert "password" not in json.dumps(document)
    cold.write(database_toml='[instances.other]\nimage = "latest"\n')
    assert cold.json("cache", "inspect", image) == document
    assert cold.json("cache", "inspect", document["key"].upper()) == document


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        ("nonsense", 64, "error: reference 'nonsense' has no tag"),
        (
            "pg-ephemeral/main:17",
            64,
            "error: reference 'pg-ephemeral/main:17': cache key '17' has 2 characters, not 64",
        ),
        ("a b", 64, "error: reference 'a b': "),
        ("f" * 64, 74, f"error: pg-ephemeral:{'f' * 64} is not in the cache"),
    ],
)
def test_inspect_of_what_is_no_stage(project: Project, reference: str, code: int, message: str) -> None:
    done = project.run("cache", "inspect", reference)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(message)


# acceptance: 111, 112
def test_credentials_of_a_cached_stage(cold: Project) -> None:
    cold.write(database_toml=f'superuser = "admin"\ndatabase = "shop"\n{_TWO}')
    cold.ok("cache", "populate")
    first, last = cold.images()
    done = cold.run("cache", "credentials")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"cache_image": last, "superuser": {"database": "shop", "user": "admin"}}
    assert cold.json("cache", "credentials", "--seed-name", "schema")["cache_image"] == first


@pytest.mark.needs("tls")
def test_credentials_name_the_host_of_the_certificate(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    cold.ok("--ssl-hostname", "db.test", "cache", "populate")
    document = cold.json("--ssl-hostname", "db.test", "cache", "credentials")
    assert list(document) == ["cache_image", "ssl", "superuser"]
    assert document["ssl"] == {"hostname": "db.test"}


# acceptance: 113, 114, 115, 116
@pytest.mark.parametrize(
    ("toml", "arguments", "code", "error"),
    [
        ("[instances.main]\n", [], 78, "error: instance 'main' has no seeds, and so no stage to connect to\n"),
        (_BROKEN, [], 74, "error: seed 'after' of instance 'main' is uncacheable: it has no stage\n"),
        (
            _TWO,
            ["--seed-name", "nope"],
            78,
            "error: instance 'main' has no seed 'nope'\nhint: its seeds are: schema, rows\n",
        ),
        (
            _TWO,
            [],
            74,
            """error: seed 'rows' of instance 'main' is not cached yet
hint: pg-ephemeral cache --instance main populate
""",
        ),
    ],
    ids=["no seeds", "uncacheable", "unknown seed", "not cached"],
)
def test_credentials_that_there_are_not(cold: Project, toml: str, arguments: list[str], code: int, error: str) -> None:
    cold.write(database_toml=toml)
    done = cold.run("cache", "credentials", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", error)


# fault: W66
def test_the_instance_may_stand_at_both_places(cold: Project) -> None:
    cold.write(database_toml='[instances.app]\nimage = "latest"\n')
    expected = cold.ok("cache", "--instance", "app", "status")
    assert "Instance: app\n" in expected
    assert cold.ok("cache", "status", "--instance", "app") == expected
    assert cold.ok("--instance", "app", "cache", "status") == expected


def test_an_unknown_instance_is_named(cold: Project) -> None:
    cold.write(database_toml=_ONE)
    done = cold.run("cache", "status", "--instance", "shop")
    assert (done.returncode, done.stdout) == (78, "")
    assert "'shop'" in done.stderr.splitlines()[0]
