"""Podman under Docker's name, as the package podman-docker has it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import engines, machine, turns
from support.project import Project

pytestmark = pytest.mark.needs("podman")


@pytest.fixture
def instance() -> Iterator[str]:
    instance = f"t-{secrets.token_hex(4)}"
    yield instance
    engines.remove_images("podman", instance)


@pytest.fixture(params=["script", "link"] if turns.every_case_is_wanted() else ["script"])
def project(request: pytest.FixtureRequest, instance: str, tmp_path: Path, warm_cache: Path) -> Iterator[Project]:
    """In a directory that a container may be shown; its ``docker`` is Podman."""
    podman = shutil.which("podman")
    assert podman is not None
    if request.param == "link" and machine.abilities()["rootless"] is None:
        pytest.skip("without root's rights Podman itself does not commit under another name")
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    if request.param == "link":
        program.symlink_to(podman)
    else:
        program.write_text(f'#!/bin/sh\necho "Emulate Docker CLI using podman." >&2\nexec {podman} "$@"\n')
        program.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="pge-", dir="/var/tmp") as name:
        project = Project(directory=Path(name), cache=warm_cache)
        project.environment = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        project.write(
            database_toml=f"""
                backend = "docker"
                image = "{machine.IMAGE}"
                wait_available_timeout = "60s"
                # Of no other superuser's cluster, so that every stage is made here.
                superuser = "{instance}"
                [instances.{instance}.seeds.one]
                type = "sql-statement"
                statement = "CREATE TABLE one AS SELECT 'podman' AS name -- {instance}"
            """
        )
        yield project


# fault: W69
def test_every_command_works(project: Project, instance: str) -> None:
    of = ("--quiet", "--instance", instance)
    info = project.json(*of, "meta", "info", "--json")
    assert info["backend"] == "docker"
    assert info["version"] == engines.call("podman", "version", "--format", "{{.Client.Version}}").strip()
    assert isinstance(info["rootless"], bool)
    for _ in range(2):
        assert project.ok(*of, "psql", "-XAtc", "SELECT name FROM one") == "podman\n"
    said = project.ok(*of, "run-env", "sh", "-c", "pwd; touch made")
    assert said == f"{project.directory}\n"
    assert project.ok(*of, "bin", "--", "sh", "-c", "touch also; ls") == "also\ndatabase.toml\nmade\n"
    for name in ("made", "also"):
        assert (project.directory / name).stat().st_uid == os.getuid()
    assert project.json(*of, "cache", "status", "--json")["summary"]["hits"] == 1
    assert len(engines.images("podman", instance)) == 2
    removed = project.ok(*of, "cache", "reset", "--force").splitlines()
    assert [line.split(":")[0] for line in removed] == ["Removed"] * 2
    assert engines.images("podman", instance) == []
