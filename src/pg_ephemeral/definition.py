"""What to boot: a frozen ``Definition`` of image, seeds, parameters and TLS. Nothing here touches the system.

Every ``with_…`` and ``apply_…`` method returns a new definition; what a definition holds was checked when it was made
and is not checked again downstream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Self

from msgspec import Struct

from pg_ephemeral.errors import DefinitionError, InvalidValue
from pg_ephemeral.image import ImageWord, OfficialImage
from pg_ephemeral.oci.reference import Name, Registry
from pg_ephemeral.postgres import names, parameters
from pg_ephemeral.repository import DEFAULT as DEFAULT_REPOSITORY
from pg_ephemeral.repository import RepositoryTemplate
from pg_ephemeral.seeds import (
    CacheStrategy,
    Command,
    CommandHash,
    ContainerScript,
    CsvFile,
    Script,
    Seed,
    SqlFile,
    SqlStatement,
)
from pg_ephemeral.seeds.base import SeedName, check_name

DEFAULT_TIMEOUT = 10.0
_LATEST = ImageWord(source=OfficialImage())


class InstanceName(str):
    """A named entry of ``database.toml``: ``a-z``, ``0-9`` and inner dashes, of any length."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check ``text``; raises ``InvalidValue``."""
        return super().__new__(cls, check_name(text, what="instance name"))


DEFAULT_INSTANCE = InstanceName("main")


class BackendChoice(StrEnum):
    """The words of the ``backend`` setting."""

    AUTO = "auto"
    DOCKER = "docker"
    PODMAN = "podman"
    EMBEDDED = "embedded"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one of the words. Raises ``InvalidValue`` of kind ``unknown-word``."""
        try:
            return cls(text)
        except ValueError:
            raise InvalidValue(f"backend {text!r} is not one of: {', '.join(cls)}", kind="unknown-word") from None


class Tls(Struct, frozen=True, kw_only=True):
    """Serve TLS only, with a throwaway certificate for ``hostname`` that clients verify in full."""

    hostname: str

    def __post_init__(self) -> None:
        """Check the host name."""
        names.host_name(self.hostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What to boot.

    ``parameters`` are PostgreSQL settings, on top of the test profile (durability off: nothing here must survive a
    power cut) unless ``test_profile`` is False. ``wait_available_timeout`` is in seconds. ``directory`` is where
    relative paths of seeds start and where their programs run; the config file's directory when there is one. It is
    made absolute.
    Raises ``DefinitionError`` for a duplicate seed or a reserved parameter, ``InvalidValue`` for a malformed value.
    """

    instance: InstanceName = DEFAULT_INSTANCE
    image: ImageWord = _LATEST
    backend: BackendChoice = BackendChoice.AUTO
    seeds: tuple[Seed, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    test_profile: bool = True
    tls: Tls | None = None
    superuser: str = "postgres"
    database: str = "postgres"
    application_name: str | None = None
    wait_available_timeout: float = DEFAULT_TIMEOUT
    cache_registry: Registry | None = None
    cache_repository: RepositoryTemplate = DEFAULT_REPOSITORY
    directory: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        """Check everything once, and keep paths from depending on where the process goes."""
        names.role_name(self.superuser, what="superuser")
        names.identifier(self.database, what="database")
        if self.application_name is not None:
            names.application_name(self.application_name)
        if not self.wait_available_timeout > 0:
            raise InvalidValue("wait_available_timeout must be more than 0 s", kind="not-positive")
        parameters.check(self.parameters, tls=self.tls is not None)
        self.cache_repository.name(self.cache_registry, self.instance)
        object.__setattr__(self, "parameters", MappingProxyType(dict(sorted(self.parameters.items()))))
        object.__setattr__(self, "directory", Path(self.directory).absolute())
        seen: set[str] = set()
        for seed in self.seeds:
            if seed.name in seen:
                raise DefinitionError(
                    f"instance {self.instance!r} has two seeds named {seed.name!r}",
                    hint="seed names are unique within an instance",
                )
            seen.add(seed.name)

    @property
    def shared_repository(self) -> Name | None:
        """Where its stages are kept in a registry; None when there is no registry for them."""
        return self.cache_repository.name(self.cache_registry, self.instance)

    def with_instance(self, name: str) -> Definition:
        """Another instance name; it names stages but is not part of their key."""
        return replace(self, instance=InstanceName(name))

    def with_image(self, image: str | ImageWord) -> Definition:
        """Another image or PostgreSQL version, in the words of the ``image`` setting."""
        return replace(self, image=ImageWord.parse(image) if isinstance(image, str) else image)

    def with_backend(self, backend: str) -> Definition:
        """Another backend: ``auto``, ``docker``, ``podman`` or ``embedded``. Raises ``InvalidValue``."""
        return replace(self, backend=BackendChoice.parse(backend))

    def with_parameter(self, name: str, value: str | float | bool) -> Definition:  # noqa: FBT001 -- the value itself
        """A PostgreSQL setting; the last one given for a name wins, whatever its case."""
        given = {name: parameters.value_text(value, name=name)}
        return replace(self, parameters=parameters.merge(self.parameters, given))

    def with_tls(self, hostname: str) -> Definition:
        """TLS only, for this host name."""
        return replace(self, tls=Tls(hostname=hostname))

    def with_superuser(self, user: str) -> Definition:
        """Another name for the superuser."""
        return replace(self, superuser=user)

    def with_database(self, database: str) -> Definition:
        """Another default database."""
        return replace(self, database=database)

    def with_wait_available_timeout(self, seconds: float) -> Definition:
        """How long a server may take to answer, in seconds."""
        return replace(self, wait_available_timeout=seconds)

    def with_test_profile(self, enabled: bool) -> Definition:  # noqa: FBT001 -- the one setting it is named after
        """Durability off (the default), or PostgreSQL's own defaults."""
        return replace(self, test_profile=enabled)

    def add_seed(self, seed: Seed) -> Definition:
        """One more seed after the others. Raises ``DefinitionError`` when its name is taken."""
        return replace(self, seeds=(*self.seeds, seed))

    def apply_file(self, name: str, path: str | Path) -> Definition:
        """A seed that applies an SQL file, as psql would."""
        return self.add_seed(SqlFile(name=SeedName(name), path=Path(path)))

    def apply_file_from_git_revision(self, name: str, path: str | Path, git_revision: str) -> Definition:
        """A seed that applies an SQL file as it was at a git revision."""
        return self.add_seed(SqlFile(name=SeedName(name), path=Path(path), git_revision=git_revision))

    def apply_sql_statement(self, name: str, statement: str) -> Definition:
        """A seed that applies SQL text."""
        return self.add_seed(SqlStatement(name=SeedName(name), statement=statement))

    def apply_csv_file(self, name: str, path: str | Path, *, schema: str = "public", table: str) -> Definition:
        """A seed that loads a CSV file with a header into a table."""
        return self.add_seed(CsvFile(name=SeedName(name), path=Path(path), schema=schema, table=table))

    def apply_command(
        self, name: str, command: str, arguments: Sequence[str] = (), *, cache: CacheStrategy | None = None
    ) -> Definition:
        """A seed that runs a host program; cached by its arguments unless ``cache`` says otherwise."""
        strategy = cache if cache is not None else CommandHash()
        seed = Command(name=SeedName(name), command=command, arguments=tuple(arguments), cache=strategy)
        return self.add_seed(seed)

    def apply_script(self, name: str, script: str, *, cache: CacheStrategy | None = None) -> Definition:
        """A seed that runs a shell script on the host; cached by its text unless ``cache`` says otherwise."""
        strategy = cache if cache is not None else CommandHash()
        return self.add_seed(Script(name=SeedName(name), script=script, cache=strategy))

    def apply_container_script(self, name: str, script: str) -> Definition:
        """A seed that runs a shell script inside the image while PostgreSQL is down; needs a container engine."""
        return self.add_seed(ContainerScript(name=SeedName(name), script=script))
