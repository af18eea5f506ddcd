"""SQL files at a git revision: found from wherever the config file is, and never anything but a revision."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pg_ephemeral.errors import InvalidValue, SeedLoadError
from pg_ephemeral.seeds.base import SeedName
from pg_ephemeral.seeds.sql import SqlFile
from support.seed_target import FakeTarget, load, write


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """At ``v1`` the file selects 1 and what it includes ``old``; in the newest commit it is 2 and ``new``."""
    root = tmp_path / "repository"
    write(root, app__db__seed_sql="SELECT 1;\n\\ir part.sql\n\\i db/part.sql\n", app__db__part_sql="SELECT 'old';\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "one")
    git(root, "tag", "v1")
    write(root, app__db__seed_sql="SELECT 2;\n\\ir part.sql\n", app__db__part_sql="SELECT 'new';\n")
    git(root, "commit", "--quiet", "--all", "--message", "two")
    return root


def seed(path: str | Path, revision: str = "v1") -> SqlFile:
    return SqlFile(name=SeedName("pinned"), path=Path(path), git_revision=revision)


def text(declared: SqlFile, directory: Path) -> str:
    target = FakeTarget(directory=directory)
    load(declared, directory).apply(target)
    return str(target.recorded["stdin"])


OLD = "SELECT 1;\nSELECT 'old';\nSELECT 'old';\n"


# fault: W45
class TestPaths:
    def test_relative_to_a_config_file_below_the_root(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir("/")
        assert text(seed("db/seed.sql"), repository / "app") == OLD

    def test_relative_to_one_above_the_repository(self, repository: Path) -> None:
        part = seed("repository/app/db/part.sql")
        assert text(part, repository.parent) == "SELECT 'old';\n"

    def test_out_of_the_directory_and_back(self, repository: Path) -> None:
        (repository / "other").mkdir()
        assert text(seed("../app/db/part.sql"), repository / "other") == "SELECT 'old';\n"

    def test_absolute(self, repository: Path, tmp_path: Path) -> None:
        assert text(seed(repository / "app" / "db" / "part.sql"), tmp_path) == "SELECT 'old';\n"

    def test_of_a_directory_that_is_gone(self, repository: Path) -> None:
        shutil.rmtree(repository / "app" / "db")
        assert text(seed("db/seed.sql"), repository / "app") == OLD


# acceptance: 82
@pytest.mark.parametrize("revision", ["v1", "main~1", "HEAD^", "HEAD~1^{commit}"])
def test_any_way_to_name_a_revision(revision: str, repository: Path) -> None:
    assert text(seed("db/seed.sql", revision), repository / "app") == OLD


def test_only_the_content_enters_the_key(repository: Path) -> None:
    git(repository, "tag", "other", "v1")
    directory = repository / "app"
    pinned = load(seed("db/part.sql"), directory)
    assert pinned.inputs == load(seed("db/part.sql", "other"), directory).inputs
    assert pinned.inputs != load(seed("db/part.sql", "main"), directory).inputs
    assert pinned.key_kind == "sql-file"
    assert seed("db/part.sql").kind == "sql-file-git-revision"
    assert pinned.inputs is not None
    (repository / "app" / "db" / "part.sql").write_text("SELECT 'old';\n")
    plain = SqlFile(name=SeedName("plain"), path=Path("db/part.sql"))
    assert load(plain, directory).inputs == pinned.inputs


# fault: W46
@pytest.mark.parametrize("revision", ["--output=x", "-h", ""])
def test_an_option_is_no_revision(revision: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        seed("a.sql", revision)
    assert caught.value.kind == "invalid-revision"


class TestErrors:
    def problem(self, declared: SqlFile, directory: Path) -> SeedLoadError:
        with pytest.raises(SeedLoadError) as caught:
            load(declared, directory)
        assert "\n" not in caught.value.message
        assert caught.value.message.startswith("seed 'pinned': ")
        return caught.value

    def test_an_unknown_revision(self, repository: Path) -> None:
        error = self.problem(seed("db/seed.sql", "v9"), repository / "app")
        assert "there is no git revision 'v9' of db/seed.sql" in error.message
        assert error.hint is not None
        assert "shallow" in error.hint

    def test_a_revision_that_is_no_commit(self, repository: Path) -> None:
        assert "'main:app'" in self.problem(seed("db/seed.sql", "main:app"), repository / "app").message

    def test_a_path_the_revision_does_not_have(self, repository: Path) -> None:
        message = self.problem(seed("db/nope.sql"), repository / "app").message
        assert "cannot read db/nope.sql at git revision 'v1': path 'app/db/nope.sql' does not exist" in message

    def test_a_directory(self, repository: Path) -> None:
        assert "cannot read db at git revision 'v1'" in self.problem(seed("db"), repository / "app").message

    def test_no_repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        assert "not a git repository" in self.problem(seed("a.sql"), tmp_path).message

    def test_no_git(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        error = self.problem(seed("db/seed.sql"), repository / "app")
        assert error.hint == "git_revision needs git"


def test_variables_that_point_git_elsewhere_are_taken_away(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    assert text(seed("db/seed.sql"), repository / "app") == OLD
