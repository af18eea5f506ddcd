"""A project to try the cache with: two seeds, in a directory that is gone afterwards, however the check ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manager.errors import ScratchFailed
from manager.settings import Settings

#: The names of the seeds, oldest first.
SEEDS = ("first", "second")

# The database has the run's name, so that even the empty cluster is this run's own: what another run of this machine
# has in its store must not count. All runs share one repository, which leaves one package behind and not one a run.
_DATABASE_TOML = """\
cache_registry = "{registry}"
cache_repository = "{{registry}}/pg-ephemeral/cache-registry-test"
database = "run_{token}"
wait_available_timeout = "60s"
{options}
[instances.{instance}.seeds.first]
type = "sql-file"
path = "first.sql"

[instances.{instance}.seeds.second]
type = "sql-file"
path = "second.sql"
"""

# A row tells by ``made`` whether its seed was applied anew: nobody makes the same one twice.
_FIRST_SQL = """\
CREATE TABLE step (
    name text PRIMARY KEY,
    run text NOT NULL,
    made uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO step (name, run) VALUES ('first', '{token}');
"""
_SECOND_SQL = """\
INSERT INTO step (name, run) VALUES ('second', '{token}');
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """``project`` holds the files, ``cache`` is where pg-ephemeral may keep its own."""

    project: Path
    cache: Path


@contextmanager
def scratch_project(settings: Settings, *, below: Path | None = None) -> Iterator[Scratch]:
    """Write the project for the block into a new directory ``below`` (None: where the system has them).

    Raises ``ScratchFailed``. When the block fails, too, its own failure is what is raised.
    """
    try:
        root = Path(tempfile.mkdtemp(prefix="pg-ephemeral-manager-", dir=below))
    except OSError as error:
        raise _failed("make", below or Path(tempfile.gettempdir()), error) from error
    try:
        yield _written(root, settings)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    try:
        shutil.rmtree(root)
    except OSError as error:
        raise _failed("remove", root, error) from error


def _written(root: Path, settings: Settings) -> Scratch:
    scratch = Scratch(project=root / "project", cache=root / "cache")
    options = "".join(
        f'{name} = "{value}"\n' for name, value in (("backend", settings.backend), ("image", settings.image)) if value
    )
    texts = {
        "database.toml": _DATABASE_TOML.format(
            registry=settings.registry, token=settings.token, instance=settings.instance, options=options
        ),
        "first.sql": _FIRST_SQL.format(token=settings.token),
        "second.sql": _SECOND_SQL.format(token=settings.token),
    }
    try:
        # Root's servers may run as somebody else, who has to get through.
        root.chmod(0o711)
        scratch.project.mkdir()
        for name, text in texts.items():
            (scratch.project / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _failed("write", root, error) from error
    return scratch


def _failed(verb: str, path: Path, error: OSError) -> ScratchFailed:
    return ScratchFailed(f"cannot {verb} the scratch directory {path}: {error.strerror or error}")
