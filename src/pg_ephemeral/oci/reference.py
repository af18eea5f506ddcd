"""OCI references as values: where an image is and what it is called. Parsing and rendering only, no look-ups.

A reference is ``[domain/]path[:tag][@digest]``. Nothing is ever normalised: no implied ``docker.io``, no implied
``latest``, no change of case; ``str`` gives back the text that was parsed. All values are checked when they are made
and raise ``InvalidValue`` with one of these kinds: ``empty``, ``unparsed`` (a rest that does not fit),
``upper-case`` (the hint is the lower-case text), ``out-of-range``, ``ambiguous`` (would read back as something else).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self, TypeVar

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci import grammar
from pg_ephemeral.oci.domain import Domain, DomainComponent, DomainName, Host, Port
from pg_ephemeral.oci.order import ordered

__all__ = [
    "Algorithm",
    "Digest",
    "Domain",
    "DomainComponent",
    "DomainName",
    "Host",
    "Name",
    "Path",
    "PathComponent",
    "Port",
    "Reference",
    "Registry",
    "Tag",
]

_T = TypeVar("_T")


class PathComponent(Struct, frozen=True, kw_only=True, order=True):
    """One part of a repository between slashes: the one grammar for every name that becomes such a part."""

    text: str

    def __post_init__(self) -> None:
        hint = "lower-case letters and digits, joined by '.', '_', '__' or dashes"
        grammar.repository_matched("path component", grammar.PATH_COMPONENT, self.text, hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as one component."""
        return cls(text=text)

    def __str__(self) -> str:
        return self.text


class Path(Struct, frozen=True, kw_only=True, order=True):
    """A repository without its registry: one or more components, never none."""

    components: tuple[PathComponent, ...]

    def __post_init__(self) -> None:
        if not self.components:
            raise InvalidValue("empty path", kind="empty", hint="a path has at least one component")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as components joined by slashes."""
        grammar.repository_matched("path", grammar.PATH, text, hint="components joined by '/', such as library/alpine")
        return cls(components=_components(text.split("/")))

    def extended(self, *components: PathComponent | str) -> Self:
        """Give the path with ``components`` below it."""
        return type(self)(components=(*self.components, *_components(components)))

    def __str__(self) -> str:
        return "/".join(map(str, self.components))


@ordered
class Name(Struct, frozen=True, kw_only=True):
    """A repository: a path, and the domain of its registry when it is stated.

    The first segment is a domain only if it looks like a registry (``Domain.is_registry``) and a path follows, so
    ``ghcr.io`` alone is a path; where a setting means a registry, use ``Registry``.
    """

    domain: Domain | None = None
    path: Path

    def __post_init__(self) -> None:
        alone = len(self.path.components) == 1
        _refuse_ambiguous(self, self.domain, None if alone else self.path)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as ``[domain/]path``."""
        match = grammar.repository_matched("name", grammar.NAME, text, hint="[domain/]path, such as ghcr.io/owner/app")
        domain, path = match["domain"], Path(components=_components(match["path"].split("/")))
        return cls(domain=Domain.parse(domain) if domain else None, path=path)

    def extended(self, *components: PathComponent | str) -> Self:
        """Give the name with ``components`` below it. A path that would turn into a domain is refused."""
        return type(self)(domain=self.domain, path=self.path.extended(*components))

    def __lt__(self, other: Name) -> bool:
        return (_present(self.domain), self.path) < (_present(other.domain), other.path)

    def __str__(self) -> str:
        return f"{self.domain}/{self.path}" if self.domain else str(self.path)


class Tag(Struct, frozen=True, kw_only=True, order=True):
    """A tag: 1 to 128 characters, case kept. A cache key or a digest's hex digits make a tag."""

    text: str

    def __post_init__(self) -> None:
        hint = "1 to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
        grammar.matched("tag", grammar.TAG, self.text, hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as a tag."""
        return cls(text=text)

    def __str__(self) -> str:
        return self.text


class Algorithm(Struct, frozen=True, kw_only=True, order=True):
    """The algorithm of a digest, such as ``sha256``."""

    text: str

    def __post_init__(self) -> None:
        grammar.matched("digest algorithm", grammar.ALGORITHM, self.text, hint="an algorithm such as sha256")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as an algorithm."""
        return cls(text=text)

    def __str__(self) -> str:
        return self.text


class Digest(Struct, frozen=True, kw_only=True, order=True):
    """A content digest: an algorithm and 32 or more hex digits of either case, as written."""

    algorithm: Algorithm
    hex: str

    def __post_init__(self) -> None:
        grammar.matched("digest value", grammar.HEX, self.hex, hint="32 or more hex digits")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as ``algorithm:hex``."""
        hint = "algorithm:hex with 32 or more hex digits, such as sha256:0123…"
        match = grammar.matched("digest", grammar.DIGEST, text, hint=hint)
        return cls(algorithm=Algorithm.parse(match["algorithm"]), hex=match["hex"])

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@ordered
class Reference(Struct, frozen=True, kw_only=True):
    """An image: its repository and, perhaps, a tag and a digest. Ordered by name, tag, digest; absent comes first."""

    name: Name
    tag: Tag | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as ``name[:tag][@digest]``."""
        hint = "[domain/]path[:tag][@digest], such as ghcr.io/owner/app:1.0"
        match = grammar.repository_matched("reference", grammar.REFERENCE, text, hint=hint)
        name, tag, digest = match["name"], match["tag"], match["digest"]
        return cls(
            name=Name.parse(name),
            tag=Tag.parse(tag) if tag else None,
            digest=Digest.parse(digest) if digest else None,
        )

    def __lt__(self, other: Reference) -> bool:
        return self._order() < other._order()

    def _order(self) -> tuple[Name, tuple[Tag, ...], tuple[Digest, ...]]:
        return self.name, _present(self.tag), _present(self.digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


@ordered
class Registry(Struct, frozen=True, kw_only=True):
    """A registry as a setting means it: what stands before the repositories that are kept there.

    Unlike ``Name``, a bare host is a host: ``ghcr.io``, ``localhost:5000``. A path may follow (``ghcr.io/owner``), or
    stand alone (``owner``), which leaves the host to the engine.
    """

    domain: Domain | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        if self.domain is None and self.path is None:
            raise InvalidValue("empty registry", kind="empty", hint="a registry is a host, a path, or both")
        _refuse_ambiguous(self, self.domain, self.path)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as ``host[:port]``, ``host[:port]/path`` or ``path``."""
        hint = "host[:port][/path] without scheme, tag or closing slash, such as ghcr.io/owner or localhost:5000"
        match = grammar.repository_matched("registry", grammar.REGISTRY, text, hint=hint)
        domain, path = match["domain"], match["below"] or match["path"]
        return cls(domain=Domain.parse(domain) if domain else None, path=Path.parse(path) if path else None)

    def repository(self, *components: PathComponent | str) -> Name:
        """Give the name of the repository ``components`` in this registry."""
        above = self.path.components if self.path else ()
        return Name(domain=self.domain, path=Path(components=(*above, *_components(components))))

    def __lt__(self, other: Registry) -> bool:
        return (_present(self.domain), _present(self.path)) < (_present(other.domain), _present(other.path))

    def __str__(self) -> str:
        return "/".join(str(part) for part in (self.domain, self.path) if part)


def _present(value: _T | None) -> tuple[_T, ...]:
    return () if value is None else (value,)


def _components(components: Iterable[PathComponent | str]) -> tuple[PathComponent, ...]:
    return tuple(PathComponent.parse(part) if isinstance(part, str) else part for part in components)


def _refuse_ambiguous(value: Name | Registry, domain: Domain | None, path: Path | None) -> None:
    """Refuse what would not read back: a domain that looks like a path, or a leading path that looks like a domain."""
    if domain is not None and not domain.is_registry:
        hint = f"give the registry a port, or a full host name instead of {domain}"
        raise InvalidValue(f"{str(value)!r} would read as a path without registry", kind="ambiguous", hint=hint)
    if domain is None and path is not None and grammar.is_registry(str(path.components[0])):
        hint = f"make {path.components[0]} the domain"
        raise InvalidValue(f"{str(value)!r} would read as a registry's domain", kind="ambiguous", hint=hint)
