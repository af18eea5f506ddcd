"""Reading a registry's ``WWW-Authenticate`` header (RFC 9110, section 11; the token protocol of registries). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

__all__ = ["BASIC", "BEARER", "Challenge", "choose", "parse"]

BASIC = "basic"
BEARER = "bearer"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 -- a grammar's token
_PARAMETER = rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))'
_PART = re.compile(rf"[ \t,]*(?:{_PARAMETER}|({_TOKEN})(?:[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$)))?)")


class Challenge(Struct, frozen=True, kw_only=True):
    """One way of authenticating that is offered: its scheme and the names of its parameters, both in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes a bearer token should have, as the registry would like to see them."""
        return tuple(self.parameters.get("scope", "").split())

    @property
    def error(self) -> str:
        """Why a bearer token was refused, such as ``insufficient_scope``; empty when it does not say."""
        return self.parameters.get("error", "")


def parse(header: str) -> tuple[Challenge, ...]:
    """Read all challenges of a header; what cannot be read ends it."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while match := _PART.match(header, at):
        name, quoted, plain, scheme = match.groups()
        if scheme is not None:
            found.append((scheme.lower(), {}))
        elif found:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
        at = match.end()
    return tuple(Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in found)


def choose(headers: Iterable[str]) -> Challenge | None:
    """The challenge to answer: Bearer before Basic, for it tells what is asked for; None when there is neither."""
    offered = [challenge for header in headers for challenge in parse(header)]
    for scheme in (BEARER, BASIC):
        for challenge in offered:
            if challenge.scheme == scheme and (scheme == BASIC or challenge.parameters.get("realm")):
                return challenge
    return None
