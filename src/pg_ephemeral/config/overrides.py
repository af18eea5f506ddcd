"""What the command line says on top of any configuration file. Values only; who wins is decided in ``config``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Self

from msgspec import Struct, field
from msgspec.structs import force_setattr

from pg_ephemeral.definition import BackendChoice, Tls
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.postgres import parameters

__all__ = ["NO_OVERRIDES", "Overrides"]


class Overrides(Struct, frozen=True, kw_only=True):
    """Settings for every instance, above those of the file; None leaves a setting to the file.

    ``parameters`` are merged per name. ``ssl_hostname`` replaces any ``ssl_config``. Raises ``DefinitionError`` for a
    reserved parameter and ``InvalidValue`` for a malformed value.
    """

    backend: BackendChoice | None = None
    image: ImageWord | None = None
    cache_registry: Registry | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    ssl_hostname: str | None = None

    def __post_init__(self) -> None:
        """Check everything once."""
        tls = self.tls is not None
        parameters.check(self.parameters, tls=tls)
        force_setattr(self, "parameters", MappingProxyType(dict(self.parameters)))

    @property
    def tls(self) -> Tls | None:
        """TLS for ``ssl_hostname``, or None."""
        return None if self.ssl_hostname is None else Tls(hostname=self.ssl_hostname)

    @classmethod
    def parse(
        cls,
        *,
        backend: str | None = None,
        image: str | None = None,
        cache_registry: str | None = None,
        assignments: Iterable[str] = (),
        ssl_hostname: str | None = None,
    ) -> Self:
        """Read the texts of the command line's options.

        ``assignments`` are ``NAME=VALUE``; the last for a name wins. Raises as the class does.
        """
        return cls(
            backend=None if backend is None else BackendChoice.parse(backend),
            image=None if image is None else ImageWord.parse(image),
            cache_registry=None if cache_registry is None else Registry.parse(cache_registry),
            parameters=parameters.merge(*(dict([parameters.parse_assignment(text)]) for text in assignments)),
            ssl_hostname=ssl_hostname,
        )


#: The file, and nothing on top.
NO_OVERRIDES = Overrides()
