"""The keys of ``database.toml``: what each means, what it may be, and what becomes of it. Shapes alone, no reading.

A new key is a line here; the reader and the JSON Schema follow. Descriptions are written for an editor's completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from msgspec import Struct, field

from pg_ephemeral.config.duration import TIMEOUT
from pg_ephemeral.config.seeds import SEEDS
from pg_ephemeral.config.shape import Choice, Key, Named, Scalar, Switch, Table, Text
from pg_ephemeral.definition import BackendChoice, InstanceName, Tls
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.postgres import names, parameters
from pg_ephemeral.repository import DEFAULT as DEFAULT_REPOSITORY
from pg_ephemeral.repository import RepositoryTemplate
from pg_ephemeral.seeds import Seed

__all__ = ["FILE", "FileSettings", "InstanceSettings", "Settings"]


class Settings(Struct, frozen=True, kw_only=True):
    """What can be said for the whole file and for an instance, in the words of ``Definition``; None is unsaid."""

    image: ImageWord | None = None
    cache_registry: Registry | None = None
    cache_repository: RepositoryTemplate | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    wait_available_timeout: float | None = None
    database: str | None = None
    superuser: str | None = None
    test_profile: bool | None = None


class InstanceSettings(Struct, frozen=True, kw_only=True):
    """An instance as it is written."""

    settings: Settings = field(default_factory=Settings)
    seeds: tuple[Seed, ...] = ()


class FileSettings(Struct, frozen=True, kw_only=True):
    """A file as it is written; ``instances`` is None when it does not mention any."""

    settings: Settings
    backend: BackendChoice | None = None
    instances: Mapping[InstanceName, InstanceSettings] | None = None


def _settings(*, ssl_config: Tls | None = None, **values: Any) -> Settings:
    return Settings(tls=ssl_config, **values)


def _instance(*, seeds: tuple[Seed, ...] = (), **values: Any) -> InstanceSettings:
    return InstanceSettings(settings=_settings(**values), seeds=seeds)


def _file(
    *,
    backend: BackendChoice | None = None,
    instances: Mapping[InstanceName, InstanceSettings] | None = None,
    **values: Any,
) -> FileSettings:
    return FileSettings(settings=_settings(**values), backend=backend, instances=instances)


def _parameter(name: str, value: object) -> str:
    text = parameters.value_text(value, name=name)
    parameters.check({name: text}, tls=False)
    return text


def _parameters(values: dict[str, str]) -> dict[str, str]:
    parameters.check(values, tls=False)
    return values


_OS = "[a-z][a-z0-9.]+"
_DIGEST = "(@sha256:[0-9A-Fa-f]{64})?"
_VERSION = r"(latest|[0-9]+((rc|beta)[0-9]+|\.[0-9]+(\.[0-9]+)?)?)"

_IMAGE = Text(
    parse=ImageWord.parse,
    expected='a PostgreSQL version or an image, such as "17"',
    pattern=rf"^(.*/.*|postgres{_DIGEST}|(postgres:)?({_VERSION}(-{_OS})?|{_OS}){_DIGEST})$",
    examples=("latest", "17", "17.6-alpine3.22", "18rc1", "trixie", "ghcr.io/owner/postgres:17"),
)
_REGISTRY = Text(
    parse=Registry.parse,
    expected='a registry, such as "ghcr.io/owner"',
    pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*$",
    examples=("ghcr.io/owner", "localhost:5000"),
)
_REPOSITORY = Text(
    parse=RepositoryTemplate.parse,
    expected='a repository, such as "{registry}/pg-{instance}"',
    pattern=r"^(\{registry\}|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(:[0-9]+)?(/[a-z0-9{][a-z0-9{}._-]*)*$",
    examples=(str(DEFAULT_REPOSITORY), "docker.io/owner/pg-{instance}"),
)
_HOST_NAME = Text(
    parse=names.host_name,
    expected='a host name, such as "localhost"',
    pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    longest=253,
    examples=("localhost", "postgresql.example.com"),
)
_IDENTIFIER = r"^[^\u0000]+$"
_ROLE = r"^(?!pg_|public$|none$)[^\u0000]+$"

_SSL = Table(
    description="Serve TLS only, with a throwaway certificate that clients verify in full.",
    keys={
        "hostname": Key(
            shape=_HOST_NAME, required=True, description="The host name the certificate is for, and clients check."
        ),
    },
    build=Tls,
)
_PARAMETERS = Named(
    name=Text(parse=parameters.parameter_name, pattern="^[A-Za-z_][A-Za-z0-9_.]*$"),
    shape=Scalar(no_table='quote a name that has a dot: "pg_stat_statements.track" = "all"'),
    make=_parameter,
    build=_parameters,
    excluded=tuple(parameters.RESERVED),
)

_SETTINGS: Mapping[str, Key] = {
    "image": Key(
        shape=_IMAGE,
        default="latest",
        description="Which PostgreSQL: a version (17, 17.6, 18rc1), an operating system (trixie), or a full reference.",
    ),
    "cache_registry": Key(
        shape=_REGISTRY, description="Where cached stages are pushed to and pulled from: a host, a path, or both."
    ),
    "cache_repository": Key(
        shape=_REPOSITORY,
        default=str(DEFAULT_REPOSITORY),
        description="What the repository of stages is called in the registry. {registry} and {instance} are filled in.",
    ),
    "parameters": Key(
        shape=_PARAMETERS,
        description="PostgreSQL settings, such as work_mem. Merged name by name: file, instance, command line.",
    ),
    "ssl_config": Key(shape=_SSL, description=_SSL.description),
    "wait_available_timeout": Key(
        shape=TIMEOUT, default="10s", description="How long a server may take until it answers."
    ),
    "database": Key(
        shape=Text(parse=partial(names.identifier, what="database"), pattern=_IDENTIFIER, longest=63),
        default="postgres",
        description="The database that seeds and clients connect to.",
    ),
    "superuser": Key(
        shape=Text(parse=partial(names.role_name, what="superuser"), pattern=_ROLE, longest=63),
        default="postgres",
        description="The name of the superuser.",
    ),
    "test_profile": Key(
        shape=Switch(),
        default=True,
        description="Turn off what only matters when the machine loses power (fsync and friends), for speed.",
    ),
}

_INSTANCE = Table(
    description="One PostgreSQL server with its seeds. What is set here counts before what is set for the whole file.",
    keys={
        **_SETTINGS,
        "seeds": Key(shape=SEEDS, description="What is loaded into the server, in the order it is written in."),
    },
    build=_instance,
    misplaced={
        "backend": "the backend is one for all: set it at the top of the file, before the first [table]",
        "hostname": "write [instances.NAME.ssl_config] above it",
    },
)

#: The whole file.
FILE: Final = Table(
    description="Ephemeral PostgreSQL servers and what they are seeded with.",
    keys={
        "backend": Key(
            shape=Choice(words=tuple(BackendChoice), parse=BackendChoice),
            default="auto",
            description="What runs the servers: a container engine, PostgreSQL on this machine, or what is available.",
        ),
        **_SETTINGS,
        "instances": Key(
            shape=Named(
                name=Text(parse=InstanceName, pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
                shape=_INSTANCE,
            ),
            description="The servers by name. Commands use the one named main unless told otherwise.",
        ),
    },
    build=_file,
    misplaced={
        "seeds": "seeds belong to an instance: write [instances.main.seeds.NAME]",
        "instance": "did you mean instances?",
        "hostname": "write [ssl_config] above it",
    },
)
