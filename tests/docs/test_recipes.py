"""Every recipe does what it shows, on its own, and all of them are in the documents."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import ROOT, environment

RECIPES = ROOT / "examples" / "recipes"
NAMES = sorted(path.parent.name for path in RECIPES.glob("*/database.toml"))

_SECONDS = 120
_PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA")
#: How a recipe is run whose tests are not for pytest, and what it then says.
_OTHERS = {
    "django-unittest": (
        ("pg-ephemeral", "run-env", "--", "python", "manage.py", "test", "--keepdb", "--parallel", "2"),
        "Ran 2 tests",
    ),
    "unittest": ((sys.executable, "-m", "unittest"), "Ran 3 tests"),
}


@pytest.mark.needs("embedded")
@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_works(name: str, tmp_path: Path, warm_cache: Path):
    project = Path(shutil.copytree(RECIPES / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")))
    command, said = _OTHERS.get(name, ((*_PYTEST, f"--basetemp={tmp_path / 'base'}"), ": ready in "))
    done = _run(command, project, warm_cache)
    assert done.returncode == 0, done.stdout
    assert said in done.stdout


@pytest.mark.needs("embedded")
def test_django_is_migrated_once_for_all_workers(tmp_path: Path, warm_cache: Path):
    project = Path(shutil.copytree(RECIPES / "django-pytest", tmp_path / "project"))
    done = _run((*_PYTEST, "-n", "2", f"--basetemp={tmp_path / 'base'}"), project, warm_cache)
    assert done.returncode == 0, done.stdout
    assert "2 databases in 2 workers" in done.stdout


def test_every_recipe_is_in_the_documents():
    for document in (RECIPES / "README.md", ROOT / "docs" / "how-to" / "recipes.md"):
        text = document.read_text(encoding="utf-8")
        assert [name for name in NAMES if f"{name})" not in text] == [], document
    assert len(NAMES) == 9


def _run(command: tuple[str, ...], project: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in environment(cache).items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command,
        cwd=project,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
    )
