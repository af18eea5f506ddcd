"""Which backend to use: an explicit table, and the order in which ``auto`` tries.

A backend that is named must work. ``auto`` asks ``OCIMAN_BACKEND``, then ``~/.config/ociman.toml``, then each in turn:
an engine that answers, and PostgreSQL on this machine last, since who has an engine expects it to be used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pg_ephemeral.backends.base import Backend
from pg_ephemeral.definition import BackendChoice, Definition
from pg_ephemeral.errors import BackendError, ConfigError, PgEphemeralError
from pg_ephemeral.paths import cache_dir

if TYPE_CHECKING:
    from pg_ephemeral.backends.engine.dialect import Dialect

#: The variable and the file that the Rust program reads, too.
VARIABLE = "OCIMAN_BACKEND"
_FILE = Path(".config", "ociman.toml")
_FILE_KEY = "default_backend"

_AUTO = (BackendChoice.DOCKER, BackendChoice.PODMAN, BackendChoice.EMBEDDED)


def _docker(definition: Definition) -> Backend:
    from pg_ephemeral.backends.engine.docker import DOCKER

    return _engine(DOCKER, definition)


def _podman(definition: Definition) -> Backend:
    from pg_ephemeral.backends.engine.podman import PODMAN

    return _engine(PODMAN, definition)


def _engine(dialect: Dialect, definition: Definition) -> Backend:
    from pg_ephemeral.backends.engine.base_image import BaseImage
    from pg_ephemeral.backends.engine.memory import Memory

    project = "\0".join((str(definition.directory), definition.instance, str(definition.image)))
    memory = Memory(cache_dir() / dialect.program / "last", project)
    # What may be pulled from a registry may be without its base here.
    shares = definition.cache_registry is not None
    base = BaseImage(dialect, definition.image, described=shares, guess=memory.recall)
    base.begin()
    # This takes about as long as the answer.
    from pg_ephemeral.backends.engine.backend import EngineBackend

    backend = EngineBackend(dialect, definition.image, base=base, memory=memory)
    backend.answer()
    return backend


def _embedded(definition: Definition) -> Backend:
    from pg_ephemeral.backends.embedded import EmbeddedBackend

    backend = EmbeddedBackend(definition.image, tls=definition.tls is not None)
    backend.identify()
    return backend


_TABLE: Mapping[BackendChoice, Callable[[Definition], Backend]] = {
    BackendChoice.DOCKER: _docker,
    BackendChoice.PODMAN: _podman,
    BackendChoice.EMBEDDED: _embedded,
}


def select(definition: Definition, *, environment: Mapping[str, str] = os.environ) -> Backend:
    """The backend this definition asks for, bound to its image.

    Raises ``BackendError`` with every reason when none works, ``ConfigError`` for an unusable default.
    """
    if definition.backend is not BackendChoice.AUTO:
        return _named(definition.backend, definition, said_by="this is the backend that was asked for")
    word = environment.get(VARIABLE, "")
    if word not in {"", BackendChoice.AUTO}:
        choice = _choice(word, said_by=VARIABLE)
        return _named(choice, definition, said_by=f"{VARIABLE} asks for this backend")
    return _first_that_works(definition, _order(environment))


def _named(choice: BackendChoice, definition: Definition, *, said_by: str) -> Backend:
    if choice is not BackendChoice.EMBEDDED and shutil.which(choice.value) is None:
        raise BackendError(f"backend {choice.value}: there is no program {choice.value} on PATH", hint=said_by)
    return _TABLE[choice](definition)


def _first_that_works(definition: Definition, order: tuple[BackendChoice, ...]) -> Backend:
    reasons: list[str] = []
    failures: list[PgEphemeralError] = []
    for choice in order:
        if choice is not BackendChoice.EMBEDDED and shutil.which(choice.value) is None:
            reasons.append(f"{choice.value}: not installed")
            continue
        if choice is BackendChoice.EMBEDDED and (script := _script_of(definition)) is not None:
            reasons.append(f"embedded: seed {script!r} is a container-script, which needs an engine")
            continue
        try:
            return _TABLE[choice](definition)
        except PgEphemeralError as error:
            reasons.append(f"{choice.value}: {error.message}")
            failures.append(error)
    # Where only one can be asked, what helps that one is what helps.
    only = failures[0] if len(failures) == 1 else None
    otherwise = (
        ", or install PostgreSQL: pip install 'pg-ephemeral[embedded]'" if _script_of(definition) is None else ""
    )
    raise BackendError(
        "no backend works here: " + "; ".join(reasons),
        hint=(only and only.hint) or f"start docker or podman{otherwise}",
        detail=None if only is None else only.detail,
    ) from only


def _script_of(definition: Definition) -> str | None:
    return next((seed.name for seed in definition.seeds if seed.kind == "container-script"), None)


def _order(environment: Mapping[str, str]) -> tuple[BackendChoice, ...]:
    """The order in which to try, the default of ``ociman.toml`` first."""
    home = environment.get("HOME")
    path = Path(home or os.path.expanduser("~")) / _FILE  # noqa: PTH111 -- it never raises
    try:
        import tomllib

        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return _AUTO
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    unknown = sorted(document.keys() - {_FILE_KEY})
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}", hint=f"the only key is {_FILE_KEY}")
    choice = _choice(document.get(_FILE_KEY, BackendChoice.AUTO), said_by=f"{path}: {_FILE_KEY}")
    if choice is BackendChoice.AUTO:
        return _AUTO
    return (choice, *(other for other in _AUTO if other is not choice))


def _choice(word: object, *, said_by: str) -> BackendChoice:
    try:
        return BackendChoice(str(word))
    except ValueError:
        known = ", ".join(BackendChoice)
        raise ConfigError(f"{said_by}: {word!r} is not a backend", hint=f"use one of {known}") from None
