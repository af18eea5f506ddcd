"""What the repository of stages is called in a registry: a template, for registries that allow less than others. Pure.

``{registry}`` stands for the ``cache_registry`` setting and ``{instance}`` for the instance's name. Docker Hub knows
only ``namespace/name``; Amazon ECR wants its repositories made beforehand, so that one for all instances is less work.
"""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.reference import Domain, Name, Registry

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KNOWN = ("registry", "instance")

#: Whose repositories those without a registry are, whichever engine speaks of them.
_HUB = "docker.io"


class RepositoryTemplate(Struct, frozen=True, kw_only=True):
    """A repository with ``{registry}`` and ``{instance}`` left open; either, or both, may be missing.

    Raises ``InvalidValue`` of kind ``unknown-placeholder``, and those of ``Name``.
    """

    text: str

    def __post_init__(self) -> None:
        """Check that it is a repository's name once it is filled in."""
        for word in _PLACEHOLDER.findall(self.text):
            if word not in _KNOWN:
                raise InvalidValue(
                    f"repository template {self.text!r}: {{{word}}} means nothing",
                    kind="unknown-placeholder",
                    hint="use {registry} and {instance}",
                )
        Name.parse(self._filled("registry.example/owner", "main"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template."""
        return cls(text=text)

    @property
    def needs_registry(self) -> bool:
        """Whether the registry is left open."""
        return "{registry}" in self.text

    def name(self, registry: Registry | None, instance: str) -> Name | None:
        """The repository of an instance; None when it needs a registry and there is none.

        Raises ``InvalidValue``, of kind ``unused-registry`` or ``lost-registry``, when it would not be in ``registry``.
        """
        if registry is None:
            return None if self.needs_registry else _on_hub(Name.parse(self._filled("", instance)))
        if not self.needs_registry:
            raise InvalidValue(
                f"repository template {self.text!r} has no {{registry}}: cache_registry {registry} would mean nothing",
                kind="unused-registry",
                hint="write {registry} where the registry belongs, or set only one of the two",
            )
        filled = self._filled(str(registry), instance)
        if registry.domain is None:
            return _on_hub(Name.parse(filled))
        if not filled.startswith(f"{registry.domain}/"):
            raise InvalidValue(
                f"repository template {self.text!r} makes {filled!r} of cache_registry {registry}, which is not in it",
                kind="lost-registry",
                hint=f"begin with {{registry}}/, as {DEFAULT} does",
            )
        return Name.parse(filled)

    def _filled(self, registry: str, instance: str) -> str:
        return self.text.replace("{registry}", registry).replace("{instance}", instance)

    def __str__(self) -> str:
        return self.text


def _on_hub(name: Name) -> Name:
    return name if name.domain is not None else Name(domain=Domain.parse(_HUB), path=name.path)


DEFAULT = RepositoryTemplate(text="{registry}/pg-ephemeral/{instance}")
