"""Where a registry answers, as values: host, port, domain. Parsing and rendering only, no look-ups.

The rules of ``reference`` hold here too: nothing is normalised, and what does not fit raises ``InvalidValue`` with the
kind ``empty``, ``unparsed`` or ``out-of-range``.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci import grammar
from pg_ephemeral.oci.order import ordered

__all__ = ["Domain", "DomainComponent", "DomainName", "Host", "Port"]

_PORT_MAXIMUM = 65535


class DomainComponent(Struct, frozen=True, kw_only=True, order=True):
    """One part of a domain name between dots: letters and digits of either case, dashes inside."""

    text: str

    def __post_init__(self) -> None:
        hint = "letters and digits, with dashes only between them"
        grammar.matched("domain component", grammar.DOMAIN_COMPONENT, self.text, hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as one component."""
        return cls(text=text)

    def __str__(self) -> str:
        return self.text


class DomainName(Struct, frozen=True, kw_only=True, order=True):
    """A host name: one or more components joined by dots."""

    components: tuple[DomainComponent, ...]

    def __post_init__(self) -> None:
        if not self.components:
            raise InvalidValue("empty domain name", kind="empty", hint="a host name such as ghcr.io")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as a domain name."""
        grammar.matched("domain name", grammar.DOMAIN_NAME, text, hint="a host name such as ghcr.io")
        return cls(components=tuple(DomainComponent.parse(part) for part in text.split(".")))

    def __str__(self) -> str:
        return ".".join(map(str, self.components))


class Host(Struct, frozen=True, kw_only=True, order=True):
    """An IPv6 address in brackets, an IPv4 address, or a domain name, told apart in this order; the text is kept."""

    text: str

    def __post_init__(self) -> None:
        if re.fullmatch(grammar.IPV6, self.text):
            try:
                IPv6Address(self.text[1:-1])
            except AddressValueError as error:
                hint = "an IPv6 address in brackets, such as [::1]"
                raise InvalidValue(f"host {self.text!r}: no IPv6 address", kind="unparsed", hint=hint) from error
        else:
            hint = "a host name such as ghcr.io, an IPv4 address, or an IPv6 address in brackets"
            grammar.matched("host", grammar.DOMAIN_NAME, self.text, hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as a host."""
        return cls(text=text)

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address, or None for a domain name (``999.999.999.999`` is a name)."""
        if self.text.startswith("["):
            return IPv6Address(self.text[1:-1])
        try:
            return IPv4Address(self.text)
        except AddressValueError:
            return None

    @property
    def name(self) -> DomainName | None:
        """The domain name, or None for an address."""
        return DomainName.parse(self.text) if self.address is None else None

    def __str__(self) -> str:
        return self.text


@ordered
class Port(Struct, frozen=True, kw_only=True):
    """A TCP port, 0 to 65535, with its digits as written; ordered by number."""

    digits: str

    def __post_init__(self) -> None:
        hint = f"a port is a number from 0 to {_PORT_MAXIMUM}"
        grammar.matched("port", grammar.PORT, self.digits, hint=hint)
        # Compared by length first: int() refuses very long texts with an error that is not ours.
        if len(self.digits.lstrip("0")) > len(str(_PORT_MAXIMUM)) or self.number > _PORT_MAXIMUM:
            raise InvalidValue(f"port {self.digits} is above {_PORT_MAXIMUM}", kind="out-of-range", hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as a port."""
        return cls(digits=text)

    @property
    def number(self) -> int:
        """The port as a number."""
        return int(self.digits.lstrip("0") or "0")

    def __lt__(self, other: Port) -> bool:
        return (self.number, self.digits) < (other.number, other.digits)

    def __str__(self) -> str:
        return self.digits


@ordered
class Domain(Struct, frozen=True, kw_only=True):
    """Where a registry answers: a host and, perhaps, a port."""

    host: Host
    port: Port | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text`` as ``host[:port]``."""
        match = grammar.matched("domain", grammar.DOMAIN, text, hint="host[:port], such as ghcr.io or localhost:5000")
        port = match["port"]
        return cls(host=Host.parse(match["host"]), port=Port.parse(port) if port else None)

    @property
    def is_registry(self) -> bool:
        """Whether it looks like a registry: a port, an address, a dot, or the word ``localhost``.

        Only then is it read as a domain when a slash and a path follow it.
        """
        name = self.host.text
        return self.port is not None or "." in name or name.startswith("[") or name == "localhost"

    def __lt__(self, other: Domain) -> bool:
        return self._order() < other._order()

    def _order(self) -> tuple[Host, tuple[Port, ...]]:
        return self.host, (self.port,) if self.port else ()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else str(self.host)
