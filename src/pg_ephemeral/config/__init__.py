"""``database.toml``, and what the command line says on top of it, as a checked ``Definition`` for each instance.

Three ways in: ``load(path)`` reads a named file; ``load()`` reads the first ``database.toml`` of the working directory
or its ancestors and is content with none; ``Config.default()`` reads nothing. Settings are merged for each instance:
overrides, then the instance's own, then those of the whole file, then the defaults; parameters one by one.

Everything wrong with a file is a ``ConfigError`` that names file, line and key. Keys are in ``config.model``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import force_setattr

from pg_ephemeral.config.file import Document, load_document
from pg_ephemeral.config.model import FILE, FileSettings, InstanceSettings, Settings
from pg_ephemeral.config.overrides import NO_OVERRIDES, Overrides
from pg_ephemeral.config.position import KeyPath
from pg_ephemeral.config.read import close, located, read
from pg_ephemeral.definition import DEFAULT_INSTANCE, BackendChoice, Definition, InstanceName
from pg_ephemeral.errors import ConfigError
from pg_ephemeral.postgres import parameters

__all__ = ["FILE_NAME", "NO_OVERRIDES", "Config", "Overrides", "find", "load"]

FILE_NAME = "database.toml"


class Config(Struct, frozen=True, kw_only=True):
    """The instances there are. ``path`` is the absolute path of the file they came from, None without a file."""

    path: Path | None
    instances: Mapping[InstanceName, Definition]

    def __post_init__(self) -> None:
        """Put the instances in the order of their names."""
        force_setattr(self, "instances", MappingProxyType(dict(sorted(self.instances.items()))))

    @classmethod
    def default(cls, *, overrides: Overrides = NO_OVERRIDES, directory: Path | None = None) -> Self:
        """The one instance ``main`` of no file at all, in ``directory``: without one, the working directory."""
        settings = FileSettings(settings=Settings())
        where = directory.resolve() if directory is not None else working_directory()
        return cls(path=None, instances=_definitions(settings, overrides, directory=where, document=None))

    def definition(self, name: str = DEFAULT_INSTANCE) -> Definition:
        """The instance ``name``. Raises ``ConfigError`` when there is none, naming those there are."""
        for known, definition in self.instances.items():
            if known == name:
                return definition
        if self.path is None:
            raise ConfigError(
                f"there is no instance {name!r}: without a {FILE_NAME} there is {DEFAULT_INSTANCE} alone",
                hint=f"write a {FILE_NAME} with [instances.{name}], or name one with --config-file",
            )
        known_names = f"instances: {', '.join(self.instances)}" if self.instances else "it has no instances"
        raise ConfigError(
            f"{_shown(self.path)}: there is no instance {name!r} ({known_names})",
            hint=close(name, self.instances) or f"declare it with [instances.{name}]",
        )


def find(start: Path) -> Path | None:
    """The ``database.toml`` of the directory ``start`` or of its nearest ancestor that has one; else None.

    Raises ``ConfigError`` for one above ``start`` that belongs to a stranger: a seed runs commands, and anybody may put
    a file into a directory such as ``/tmp``.
    """
    directory = start.resolve()
    for candidate in (directory, *directory.parents):
        path = candidate / FILE_NAME
        # A link to nowhere counts: that file is missing, and the one above it was not meant. A directory that we may
        # not look into does not.
        if os.path.lexists(path):
            if candidate != directory:
                _check_owner(path, directory)
            return path
    return None


def _check_owner(path: Path, start: Path) -> None:
    """Ours, root's, and the file of whoever owns the working directory are trusted, as git trusts a repository."""
    owner = path.lstat().st_uid
    if owner not in (os.geteuid(), 0, start.stat().st_uid):
        raise ConfigError(
            f"{path} belongs to another user, so it is not used from {start}",
            hint=f"if you trust it, name it with --config-file {path}; or use --no-config-file",
        )


def load(
    path: str | Path | None = None, *, overrides: Overrides = NO_OVERRIDES, search_from: Path | None = None
) -> Config:
    """The instances of the file ``path``, or of the one found from ``search_from`` upwards, or of no file.

    ``search_from`` is the working directory unless given. Raises ``ConfigError``: a named file that is missing, any
    file that cannot be read, what is wrong in it; ``DefinitionError`` for an override that it does not go with.
    """
    if path is not None:
        return _load(Path(path), shown=str(path), overrides=overrides)
    start = search_from if search_from is not None else working_directory()
    found = find(start)
    if found is None:
        return Config.default(overrides=overrides, directory=start)
    return _load(found, shown=_shown(found), overrides=overrides)


def _load(path: Path, *, shown: str, overrides: Overrides) -> Config:
    document = load_document(path, shown=shown)
    settings: FileSettings = read(FILE, document.values, (), document)
    directory = path.parent.resolve()
    return Config(
        path=directory / path.name,
        instances=_definitions(settings, overrides, directory=directory, document=document),
    )


def working_directory() -> Path:
    """Where we are. Raises ``ConfigError`` when that was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError("the working directory does not exist any more") from error


def _shown(path: Path) -> str:
    """What to call a file: relative to the working directory when it is in it."""
    here = working_directory()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _definitions(
    file: FileSettings, overrides: Overrides, *, directory: Path, document: Document | None
) -> dict[InstanceName, Definition]:
    """A definition for each instance; ``main`` alone if the file says nothing of instances."""
    instances = file.instances if file.instances is not None else {DEFAULT_INSTANCE: InstanceSettings()}
    backend = overrides.backend or file.backend or BackendChoice.AUTO
    above = Settings(
        image=overrides.image,
        cache_registry=overrides.cache_registry,
        parameters=overrides.parameters,
        tls=overrides.tls,
    )
    definitions = {}
    for name, instance in instances.items():
        merged = _merge(file.settings, instance.settings, above)
        if merged.get("tls"):
            if document:
                _check_tls(name, merged["parameters"], (instance.settings, file.settings), document)
            # No place in the file is at fault for what was said elsewhere.
            parameters.check(overrides.parameters, tls=True)
        if document:
            _check_repository(name, merged, (instance.settings, file.settings), document)
        with located(document, ("instances", name), at_key=True) if document else nullcontext():
            definitions[name] = Definition(
                instance=name, backend=backend, seeds=instance.seeds, directory=directory, **merged
            )
    return definitions


def _merge(*layers: Settings) -> dict[str, Any]:
    """The fields of a definition that any of ``layers`` sets; the last one counts."""
    merged: dict[str, Any] = {}
    for layer in layers:
        given = {name: getattr(layer, name) for name in layer.__struct_fields__}
        if layer.cache_repository is not None and not layer.cache_repository.needs_registry:
            # It names a registry itself, and counts before one that is set further down.
            merged.pop("cache_registry", None)
        merged |= {name: value for name, value in given.items() if value is not None}
    return merged | {"parameters": parameters.merge(*(layer.parameters for layer in layers))}


def _check_repository(
    name: InstanceName, merged: Mapping[str, Any], layers: tuple[Settings, Settings], document: Document
) -> None:
    """Refuse a template that does not fit the registry where it stands: in the instance, or for the whole file."""
    places: tuple[KeyPath, KeyPath] = (("instances", name, "cache_repository"), ("cache_repository",))
    for place, layer in zip(places, layers, strict=True):
        if layer.cache_repository is not None:
            with located(document, place):
                layer.cache_repository.name(merged.get("cache_registry"), name)
            return


def _check_tls(
    name: InstanceName, merged: Mapping[str, str], layers: tuple[Settings, Settings], document: Document
) -> None:
    """Refuse a parameter that TLS reserves where it stands: in the instance, or in what is for the whole file."""
    places: tuple[KeyPath, KeyPath] = (("instances", name, "parameters"), ("parameters",))
    for parameter, value in merged.items():
        for place, layer in zip(places, layers, strict=True):
            if parameter in layer.parameters:
                with located(document, (*place, parameter), at_key=True):
                    parameters.check({parameter: value}, tls=True)
