"""Files as they were at a git revision, read through git(1) itself.

Paths are relative to the config file's directory, wherever the root of the repository is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pg_ephemeral.errors import InvalidValue, ProcessError, SeedLoadError
from pg_ephemeral.process import Completed, Invocation, capture


def check_revision(revision: str) -> None:
    """Refuse what git would take for an option. Raises ``InvalidValue`` of kind ``invalid-revision``."""
    if not revision or revision.startswith("-"):
        raise InvalidValue(
            f"git_revision {revision!r} is no revision",
            kind="invalid-revision",
            hint="give a branch, a tag or a commit, as in main or v1.2",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit of the repository around ``directory``, looked up once; ``text`` is how the user named it."""

    directory: Path
    commit: str
    text: str
    seed: str

    def read(self, path: Path) -> bytes:
        """The content of a file at this commit. Raises ``SeedLoadError`` with git's own words."""
        relative = os.path.relpath(self.directory / path, self.directory)
        done = _git(self.seed, self.directory, "cat-file", "blob", f"{self.commit}:./{relative}")
        if done.status != 0:
            raise SeedLoadError(
                f"seed {self.seed!r}: cannot read {path} at git revision {self.text!r}: {done.message}", seed=self.seed
            )
        return done.stdout


def resolve(revision: str, directory: Path, *, seed: str) -> Revision:
    """Look a revision up, anew each time. Raises ``SeedLoadError`` when it, or the repository, is not there."""
    done = _git(seed, directory, "rev-parse", "--verify", f"{revision}^{{commit}}")
    if done.status != 0:
        raise SeedLoadError(
            f"seed {seed!r}: cannot find git revision {revision!r} from {directory}: {done.message}",
            seed=seed,
            hint="is it fetched? a shallow clone has only its newest commits",
        )
    return Revision(directory=directory, commit=done.stdout.decode().strip(), text=revision, seed=seed)


def _git(seed: str, directory: Path, *arguments: str) -> Completed:
    local = _local_variables() if any(name.startswith("GIT_") for name in os.environ) else frozenset()
    environment = {name: value for name, value in os.environ.items() if name not in local}
    try:
        return capture(Invocation(argv=("git", *arguments), env={**environment, "LC_ALL": "C"}, cwd=directory))
    except ProcessError as error:
        raise SeedLoadError(f"seed {seed!r}: {error.message}", seed=seed, hint="git_revision needs git") from error


@cache
def _local_variables() -> frozenset[str]:
    """The variables that point git at another repository; inside a hook, git sets them."""
    done = capture(Invocation(argv=("git", "rev-parse", "--local-env-vars")))
    return frozenset(done.stdout.decode().split())
