"""``list``, ``meta info``, ``platform support`` and the options before a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pg_ephemeral.version import VERSION
from support.project import MODULE, PROGRAM, Project

_TWO = """
image = "latest"
[instances.shop.seeds.schema]
type = "sql-statement"
statement = "SELECT 1"
[instances.app]
image = "18"
"""


@pytest.fixture
def project(tmp_path: Path, warm_cache: Path) -> Project:
    return Project(directory=tmp_path, cache=warm_cache)


@pytest.mark.parametrize("program", [PROGRAM, MODULE], ids=["script", "module"])
def test_both_ways_of_calling_are_one_program(project: Project, program: tuple[str, ...]) -> None:
    assert project.ok("--version", program=program) == f"pg-ephemeral {VERSION}\n"
    done = project.run("--bogus", program=program)
    assert (done.returncode, done.stderr) == (2, "error: no such option '--bogus'\nhint: pg-ephemeral --help\n")


# fault: W70
def test_instances_are_listed_by_name(project: Project) -> None:
    assert project.ok("list") == "main\n"
    project.write(database_toml=_TWO)
    assert project.ok("list") == "app\nshop\n"
    assert project.json("list", "--json") == [
        {"name": "app", "image": "18", "seeds": []},
        {"name": "shop", "image": "latest", "seeds": ["schema"]},
    ]
    assert project.ok("--no-config-file", "list") == "main\n"


def test_a_file_may_be_named_and_must_then_be_there(project: Project) -> None:
    (project.directory / "other.toml").write_text(_TWO)
    assert project.ok("--config-file", "other.toml", "list") == "app\nshop\n"
    done = project.run("--config-file", "none.toml", "list")
    assert (done.returncode, done.stdout) == (78, "")
    assert "none.toml" in done.stderr.splitlines()[0]


def test_options_are_laid_over_the_file(project: Project) -> None:
    project.write(database_toml=_TWO)
    assert [one["image"] for one in project.json("--image", "17.6", "list", "--json")] == ["17.6", "17.6"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--image", "18 beta", "error: image '18 beta': cannot read ' beta' at character 3"),
        ("--cache-registry", "https://x", "error: registry 'https://x'"),
        ("--parameter", "work_mem", "work_mem"),
        ("--parameter", "port=1", "port"),
        ("--ssl-hostname", "a b", "a b"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(project: Project, option: str, value: str, message: str) -> None:
    done = project.run(option, value, "list")
    assert done.returncode in {64, 78}
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert all(line.startswith("hint: ") for line in rest)


def test_a_bad_file_is_named_with_its_line(project: Project) -> None:
    project.write(database_toml='image = "latest"\nbackend = "warp"\n')
    done = project.run("list")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("error: database.toml:2:")


# acceptance: 212
# fault: W66
def test_platform_support_does_not_look_at_the_file(project: Project) -> None:
    project.write(database_toml="this is not TOML")
    done = project.run("platform", "support")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.needs("embedded")
def test_meta_info(project: Project) -> None:
    text = project.ok("meta", "info")
    assert re.fullmatch(r"Backend:  embedded [0-9.]+\nRootless: (true|false)\n", text)
    document = project.json("meta", "info", "--json")
    assert (
        text
        == f"Backend:  {document['backend']} {document['version']}\nRootless: {str(document['rootless']).lower()}\n"
    )


@pytest.mark.needs("embedded")
def test_meta_info_needs_no_instance_called_main(project: Project) -> None:
    project.write(database_toml='[instances.shop]\nimage = "latest"\n')
    assert project.json("meta", "info", "--json")["backend"] == "embedded"


@pytest.mark.parametrize("backend", ["docker", "podman"])
def test_a_backend_that_is_not_here_is_an_error(
    project: Project, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = project.run("--backend", backend, "meta", "info")
    assert (done.returncode, done.stdout) == (69, "")
    assert backend in done.stderr.splitlines()[0]
