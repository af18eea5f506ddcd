"""How one container engine differs from the others: a value for each, in ``docker`` and ``podman``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pg_ephemeral.backends.engine.address import Address
from pg_ephemeral.backends.engine.commands import Arguments
from pg_ephemeral.process import Invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine. ``program`` is its command, and its name as a backend.

    ``local_prefix`` is what the engine puts before names without a registry, and ``implied_domain`` the registry it
    leaves out when it says a name. ``unpaused`` are the options of commit for hosts that cannot pause a container.
    ``version`` asks for the engine's version, and ``rootless`` whether it works without root's rights, by printing what
    ``says_rootless`` understands. ``forget`` is the command that takes a name from an image whatever still uses it.
    ``plain_http`` are the options of pull and push for a registry without TLS, if it takes any. ``quote`` writes a word
    of a ``--change`` so that the engine reads it as it is.
    ``address`` says where ports are reached, and ``proxies`` which variables about proxies the engine adds to a
    container's, unless it is run with the options ``without_proxies``; each is told our environment, and the last the
    variables of the image.
    """

    program: str
    local_prefix: str
    implied_domain: str
    unpaused: tuple[Arguments, ...]
    version: Arguments
    rootless: Arguments
    says_rootless: Callable[[str], bool]
    forget: Arguments
    plain_http: Arguments
    quote: Callable[[str], str]
    address: Callable[[Mapping[str, str]], Address]
    proxies: Callable[[Mapping[str, str]], Mapping[str, str]]
    without_proxies: Callable[[Mapping[str, str], Mapping[str, str]], Arguments]
    #: What to do about an engine that does not answer.
    start_hint: str

    def invocation(self, arguments: Arguments, *, env: Mapping[str, str] | None = None) -> Invocation:
        """A call of this engine."""
        return Invocation(argv=(self.program, *arguments), env=env)
