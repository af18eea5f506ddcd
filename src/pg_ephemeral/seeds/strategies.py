"""Cache strategies of ``command`` and ``script`` seeds: what, beside the seed's own text, its result depends on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from pg_ephemeral.errors import InvalidValue, ProcessError, SeedLoadError
from pg_ephemeral.postgres.environment import without_libpq
from pg_ephemeral.process import Invocation, guarded, status_text
from pg_ephemeral.seeds.base import Inputs, LoadContext


class CommandHash(Struct, frozen=True, kw_only=True):
    """Nothing else: the seed's own text, and its program if that is one of the project's files."""

    @property
    def type(self) -> str:
        """``command-hash``."""
        return "command-hash"

    def key_inputs(self, seed: str, context: LoadContext) -> Inputs | None:  # noqa: ARG002 -- one signature for all
        """Nothing more."""
        return {}


class NoCache(Struct, frozen=True, kw_only=True):
    """Never cached: the seed, and every one after it, is applied at each boot."""

    @property
    def type(self) -> str:
        """``none``."""
        return "none"

    def key_inputs(self, seed: str, context: LoadContext) -> Inputs | None:  # noqa: ARG002 -- one signature for all
        """There is no key."""
        return None


class KeyCommand(Struct, frozen=True, kw_only=True):
    """What a host program prints, for example the version of a migration tool."""

    command: str
    arguments: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """``key-command``."""
        return "key-command"

    def key_inputs(self, seed: str, context: LoadContext) -> Inputs | None:
        """The digest of its stdout."""
        argv = (resolve_program(self.command, context.directory), *self.arguments)
        return {"key": _output(argv, seed=seed, what=f"key command {self.command}", context=context)}


class KeyScript(Struct, frozen=True, kw_only=True):
    """What a shell script prints on the host."""

    script: str

    @property
    def type(self) -> str:
        """``key-script``."""
        return "key-script"

    def key_inputs(self, seed: str, context: LoadContext) -> Inputs | None:
        """The digest of its stdout."""
        return {"key": _output(("sh", "-e", "-c", self.script), seed=seed, what="key script", context=context)}


class KeyPaths(Struct, frozen=True, kw_only=True):
    """The content of files, by glob patterns relative to the config file's directory; ``**`` spans directories.

    A directory stands for every file below it. Raises ``InvalidValue`` of kind ``empty`` when there are none, and of
    kind ``invalid-paths`` for a pattern that is not relative.
    """

    paths: tuple[str | Path, ...]

    def __post_init__(self) -> None:
        """Check the patterns, and keep them as text."""
        if not self.paths:
            raise InvalidValue("key-paths has no paths", kind="empty")
        for path in self.paths:
            if not str(path) or Path(path).is_absolute():
                raise InvalidValue(
                    f"key path {str(path)!r} is no relative pattern",
                    kind="invalid-paths",
                    hint="patterns are relative to the config file, as in migrations/**/*.sql",
                )
        force_setattr(self, "paths", tuple(str(path) for path in self.paths))

    @property
    def type(self) -> str:
        """``key-paths``."""
        return "key-paths"

    def key_inputs(self, seed: str, context: LoadContext) -> Inputs | None:
        """Each file's path and digest, in the order of their paths."""
        files: dict[str, str] = {}
        for pattern in map(str, self.paths):
            matched = list(_files(pattern, seed=seed, directory=context.directory))
            if not matched:
                raise SeedLoadError(
                    f"seed {seed!r}: key path {pattern!r} matches no file below {context.directory}",
                    seed=seed,
                    hint="patterns are relative to the config file, as in migrations/**/*.sql",
                )
            files |= {relative: file_digest(path, seed=seed) for relative, path in matched}
        return {"files": dict(sorted(files.items()))}


CacheStrategy: TypeAlias = CommandHash | KeyCommand | KeyScript | KeyPaths | NoCache


def resolve_program(command: str, directory: Path) -> str:
    """A path means a file relative to the config file's directory; a bare name is looked up on ``PATH``."""
    return str(directory / command) if "/" in command else command


def project_file(command: str, directory: Path) -> Path | None:
    """The program, if it is a file of the project: written as a relative path, or below the directory."""
    path = Path(resolve_program(command, directory))
    ours = "/" in command and (not Path(command).is_absolute() or path.is_relative_to(directory))
    return path if ours and path.is_file() else None


def file_digest(path: Path, *, seed: str) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises ``SeedLoadError`` naming seed and file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(seed, path, error) from error


def unreadable(seed: str, path: Path, error: OSError) -> SeedLoadError:
    """The error for a file of a seed that cannot be read."""
    return SeedLoadError(f"seed {seed!r}: cannot read {path}: {error.strerror or error}", seed=seed)


def _files(pattern: str, *, seed: str, directory: Path) -> Iterator[tuple[str, Path]]:
    try:
        # Of a pattern without any part, glob makes nothing, or an error.
        matches = sorted(directory.glob(pattern)) if Path(pattern).parts else [directory]
    except ValueError as error:
        raise SeedLoadError(f"seed {seed!r}: key path {pattern!r} is no pattern: {error}", seed=seed) from error
    for match in matches:
        for path in sorted(match.rglob("*")) if match.is_dir() else (match,):
            if path.is_file():
                yield Path(os.path.relpath(path, directory)).as_posix(), path


def _output(argv: tuple[str, ...], *, seed: str, what: str, context: LoadContext) -> str:
    invocation = Invocation(argv=argv, env=without_libpq(os.environ), cwd=context.directory)
    hasher = hashlib.sha256()
    try:
        status = guarded(invocation, stdout=hasher.update)
    except ProcessError as error:
        raise SeedLoadError(f"seed {seed!r}: {what}: {error.message}", seed=seed, hint=error.hint) from error
    if status != 0:
        raise SeedLoadError(f"seed {seed!r}: {what} failed: {status_text(status)}", seed=seed)
    return hasher.hexdigest()
