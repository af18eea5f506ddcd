"""``cache pull``, ``push`` and ``sync``, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import registry as support
from support.project import Project
from support.registry import Registry
from support.sites import open_directory, salted

pytestmark = pytest.mark.needs("registry")

DEAD = "127.0.0.1:9"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with support.running(tmp_path_factory.mktemp("registry") / "plain") as running:
        yield running


def configuration(salt: str, setting: str) -> str:
    return f"""
{setting}
[instances.main]
database = "d{salt}"

[instances.main.seeds.schema]
type = "sql-statement"
statement = "CREATE TABLE t (id int)"

[instances.main.seeds.rows]
type = "sql-statement"
statement = "INSERT INTO t SELECT generate_series(1, 10)"
"""


@pytest.fixture
def project(registry: Registry, cache_directory: Path, tmp_path: Path) -> Project:
    """Two seeds; its registry is on this machine."""
    made = Project(directory=open_directory(tmp_path / "project"), cache=cache_directory)
    salt = salted()
    made.write(database_toml=configuration(salt, f'cache_registry = "{registry.host}/{salt}"'))
    return made


@pytest.fixture
def alone(cache_directory: Path, tmp_path: Path) -> Project:
    """The same without a registry."""
    made = Project(directory=open_directory(tmp_path / "project"), cache=cache_directory)
    made.write(database_toml=configuration(salted(), ""))
    return made


def colleague(project: Project, tmp_path: Path) -> Project:
    """Another machine with the same files."""
    return replace(project, cache=open_directory(tmp_path / "other-cache"))


def hits(project: Project) -> list[str]:
    return [seed["status"] for seed in project.json("cache", "status", "--json")["seeds"]]


def counted(project: Project) -> str:
    return project.ok("--quiet", "psql", "--no-psqlrc", "-At", input="SELECT count(*) FROM t")


# acceptance: 101, 102
@pytest.mark.parametrize("verb", ["pull", "push", "sync"])
def test_without_a_registry_the_option_to_set_is_named(alone: Project, verb: str) -> None:
    done = alone.run("cache", verb)
    assert done.returncode == 78
    assert done.stdout == ""
    assert "instance 'main' has no cache registry" in done.stderr
    assert "cache_registry" in done.stderr
    assert "--cache-registry" in done.stderr


# fault: W1
# acceptance: 103, 104, 105, 109
def test_what_one_machine_pushed_another_boots(project: Project, tmp_path: Path) -> None:
    builds = "(pg-ephemeral cache populate builds what is missing)\n"
    assert project.ok("cache", "push") == f"Nothing to push: no stage is here {builds}"
    assert project.ok("cache", "push", "--tip") == f"Nothing to push: the last stage is not here {builds}"
    assert project.ok("cache", "pull").startswith("Nothing found in 127.0.0.1:")
    project.ok("cache", "populate")
    images = project.images()
    pushed = project.ok("cache", "push").splitlines()
    assert [line.split(": ", 1)[0] for line in pushed] == ["Pushed"] * 3
    assert [line.split(": ", 1)[1] for line in pushed[1:]] == images
    assert [line.split(": ", 1)[0] for line in project.ok("cache", "push").splitlines()] == ["Already there"] * 3

    project.ok("cache", "reset", "--force")
    assert hits(project) == ["miss", "miss"]
    assert project.images() == images
    assert project.ok("cache", "pull") == f"Pulled: {images[-1]}\n"
    assert hits(project)[-1] == "hit"
    assert project.ok("cache", "pull") == f"Present: {images[-1]}\n"

    other = colleague(project, tmp_path)
    assert other.ok("cache", "pull") == f"Pulled: {images[-1]}\n"
    done = other.run("psql", "--no-psqlrc", "-At", input="SELECT count(*) FROM t")
    assert (done.returncode, done.stdout) == (0, "10\n")
    assert "(2 reused)" in done.stderr, done.stderr


# fault: W11
def test_scripts_read_what_was_done(project: Project, tmp_path: Path) -> None:
    def shape(document: dict[str, Any]) -> list[str]:
        return list(document)

    nothing = project.json("cache", "pull", "--json")
    assert shape(nothing) == ["instance", "registry", "found", "pulled", "present", "complete", "looked"]
    assert (nothing["found"], nothing["complete"]) == (None, False)
    assert project.json("cache", "push", "--json")["stages"] == []
    project.ok("cache", "populate")
    tip = project.images()[-1]

    document = project.json("cache", "push", "--tip", "--json")
    assert shape(document) == ["instance", "registry", "pushed", "stages"]
    assert [(stage["cache_image"], stage["status"]) for stage in document["stages"]] == [(tip, "pushed")]
    assert document["stages"][0]["sent_bytes"] > 0
    document = project.json("cache", "push", "--json")
    assert [stage["status"] for stage in document["stages"]] == ["pushed", "pushed", "present"]
    assert [stage["sent_bytes"] is None for stage in document["stages"]] == [False, False, True]
    document = project.json("cache", "push", "--force", "--json")
    assert [(stage["status"], stage["sent_bytes"]) for stage in document["stages"]] == [("pushed", 0)] * 3

    other = colleague(project, tmp_path)
    document = other.json("cache", "sync", "--json")
    assert shape(document) == ["pull", "push", "warnings"]
    assert (document["pull"]["pulled"], document["pull"]["complete"]) == (tip, True)
    assert [stage["status"] for stage in document["push"]["stages"]] == ["present"]
    assert document["warnings"] == []


# fault: W3
# acceptance: 106
def test_the_first_sync_ever_and_the_next(project: Project, tmp_path: Path) -> None:
    first = project.ok("cache", "sync").splitlines()
    assert first[0].startswith("Nothing found in ")
    assert [line.split(": ", 1)[0] for line in first[1:]] == ["Pushed"] * 3
    other = colleague(project, tmp_path)
    assert [line.split(": ", 1)[0] for line in other.ok("cache", "sync").splitlines()] == ["Pulled", "Already there"]
    assert counted(other) == "10\n"


# fault: W4
# acceptance: 108
def test_a_registry_that_is_down(project: Project) -> None:
    for verb in (("pull",), ("sync", "--strict")):
        done = project.run("--cache-registry", DEAD, "cache", *verb)
        assert done.returncode == 76
        assert done.stdout == ""
        assert DEAD in done.stderr
        assert "Traceback" not in done.stderr
    assert hits(project) == ["miss", "miss"]
    done = project.run("--cache-registry", DEAD, "cache", "sync", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["pull"], document["push"]) == (None, None)
    assert len(document["warnings"]) == 2
    assert done.stderr.count("building here instead") == 1
    done = project.run("--cache-registry", DEAD, "cache", "push")
    assert done.returncode == 76
    assert "stage 'the empty cluster' was not pushed" in done.stderr


# fault: W9
# acceptance: 91
def test_the_registry_is_no_part_of_the_key(alone: Project, registry: Registry) -> None:
    alone.ok("cache", "populate")
    local = alone.images()
    for host in (f"{registry.host}/a/b", "ghcr.io", DEAD):
        document = alone.json("--cache-registry", host, "cache", "status", "--json")
        assert [seed["status"] for seed in document["seeds"]] == ["hit", "hit"]
        assert [seed["cache_image"] for seed in document["seeds"]] == [f"{host}/{image}" for image in local]
    assert alone.ok("--cache-registry", f"{registry.host}/a/b", "cache", "pull").startswith("Present: ")


def test_a_second_repository_of_a_registry_is_sent_nothing(alone: Project, registry: Registry) -> None:
    """What it needs is mounted from the first, under whose name the stages are known since they were pushed."""
    alone.ok("cache", "populate")
    alone.ok("--cache-registry", f"{registry.host}/{salted()}", "cache", "push")
    document = alone.json("--cache-registry", f"{registry.host}/{salted()}", "cache", "push", "--json")
    assert [(stage["status"], stage["sent_bytes"]) for stage in document["stages"]] == [("pushed", 0)] * 3


# fault: W7
def test_reset_forgets_what_a_bare_host_names(alone: Project) -> None:
    alone.ok("--cache-registry", "ghcr.io", "cache", "populate")
    removed = alone.ok("--cache-registry", "ghcr.io", "cache", "reset", "--force").splitlines()
    assert len(removed) == 3
    assert all(line.startswith("Removed: ghcr.io/pg-ephemeral/main:") for line in removed)
    assert hits(alone) == ["miss", "miss"]


# fault: W8
def test_a_template_fits_a_registry_of_two_levels(alone: Project, registry: Registry, tmp_path: Path) -> None:
    text = (alone.directory / "database.toml").read_text()
    setting = f'cache_registry = "{registry.host}"\ncache_repository = "{{registry}}/owner/{{instance}}-stages"\n'
    alone.write(database_toml=setting + text)
    alone.ok("cache", "sync")
    assert all(str(image).startswith(f"{registry.host}/owner/main-stages:") for image in alone.images())
    assert colleague(alone, tmp_path).ok("cache", "pull") == f"Pulled: {alone.images()[-1]}\n"


def test_progress_is_for_people_and_can_be_silenced(project: Project) -> None:
    done = project.run("cache", "sync")
    assert "rows" in done.stderr
    assert "\r" not in done.stderr, "no terminal is listening"
    project.ok("cache", "reset", "--force")
    done = project.run("--quiet", "cache", "sync")
    assert done.stderr == ""
    assert done.stdout.startswith("Pulled: ")
