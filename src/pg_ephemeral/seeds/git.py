"""Files as they were at a git revision, read through git(1) itself.

Paths are relative to the config file's directory, wherever the root of the repository is. The files need not exist any
more.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from msgspec import Struct

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


class Revision(Struct, frozen=True, kw_only=True):
    """A commit, looked up once; ``text`` is how the user named it. Paths are relative to ``directory``."""

    directory: Path
    commit: str
    text: str
    seed: str

    def read(self, path: Path) -> bytes:
        """The content of a file at this commit. Raises ``SeedLoadError`` with git's own words."""
        where, relative = _beside(self.directory / path)
        done = _git(self.seed, where, "cat-file", "blob", f"{self.commit}:./{relative}")
        if done.status != 0:
            raise _failed(f"cannot read {path} at git revision {self.text!r}", done, seed=self.seed)
        return done.stdout


def resolve(revision: str, path: Path, *, directory: Path, seed: str) -> Revision:
    """Look a revision up in the repository of the file ``path``, anew each time.

    Raises ``SeedLoadError`` when it, or the repository, is not there.
    """
    where, _ = _beside(directory / path)
    done = _git(seed, where, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.status != 0:
        hint = None if done.message else "is it fetched? a shallow clone has only its newest commits"
        raise _failed(f"there is no git revision {revision!r} of {path}", done, seed=seed, hint=hint)
    return Revision(directory=directory, commit=done.stdout.decode().strip(), text=revision, seed=seed)


def _beside(file: Path) -> tuple[Path, str]:
    """The file's directory, or the one above it that still exists, and the path from there.

    Run there, git finds the repository the file is in, and a path that begins with ``./`` is relative to it.
    """
    absolute = Path(os.path.normpath(file.absolute()))
    where = next(parent for parent in absolute.parents if parent.is_dir())
    return where, absolute.relative_to(where).as_posix()


def _failed(what: str, done: Completed, *, seed: str, hint: str | None = None) -> SeedLoadError:
    first, _, rest = done.message.partition("\n")
    reason = f": {first.removeprefix('fatal: ')}" if first else ""
    return SeedLoadError(f"seed {seed!r}: {what}{reason}", seed=seed, hint=hint, detail=rest or None)


def _git(seed: str, directory: Path, *arguments: str) -> Completed:
    try:
        local = _local_variables() if any(name.startswith("GIT_") for name in os.environ) else frozenset()
        environment = {name: value for name, value in os.environ.items() if name not in local}
        return capture(Invocation(argv=("git", *arguments), env={**environment, "LC_ALL": "C"}, cwd=directory))
    except ProcessError as error:
        raise SeedLoadError(f"seed {seed!r}: {error.message}", seed=seed, hint="git_revision needs git") from error


@cache
def _local_variables() -> frozenset[str]:
    """The variables that point git at another repository; inside a hook, git sets them."""
    done = capture(Invocation(argv=("git", "rev-parse", "--local-env-vars")))
    return frozenset(done.stdout.decode().split())
