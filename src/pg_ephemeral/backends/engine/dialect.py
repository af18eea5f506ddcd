"""How one container engine differs from the others: a value for each, in ``docker`` and ``podman``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pg_ephemeral.backends.engine.address import Address
from pg_ephemeral.backends.engine.commands import Arguments
from pg_ephemeral.process import Invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine."""

    #: Its command, and its name as a backend.
    program: str
    #: The dialect of another engine that may answer to this one's name.
    stand_in: Dialect | None = None
    #: What to do about an engine that does not answer.
    start_hint: str

    #: Asks for its version.
    version: Arguments
    #: Asks whether it works without root's rights, by printing what ``says_rootless`` understands.
    rootless: Arguments
    says_rootless: Callable[[str], bool]
    #: Asks for the platform it runs, as ``os/architecture``.
    platform: Arguments
    #: The variable of ours, if it knows one, that has it pull for another.
    platform_variable: str

    #: What it puts before names without a registry.
    local_prefix: str
    #: The registry it leaves out when it says a name.
    implied_domain: str
    #: What a name without a registry lacks when it is to fetch the image.
    fetched_from: str
    #: Whose credentials for registries are used.
    credentials: str
    #: The options of pull and push for a registry without TLS, if it takes any.
    plain_http: Arguments

    #: The options of commit that leave the container running, to be tried in turn.
    unpaused: tuple[Arguments, ...]
    #: Takes a name from an image whatever still uses it.
    forget: Arguments
    #: Writes a word of a ``--change`` so that the engine reads it as it is.
    quote: Callable[[str], str]

    #: Where ports are reached, from our environment.
    address: Callable[[Mapping[str, str]], Address]
    #: The variables about proxies that it adds to a container's, from our environment.
    proxies: Callable[[Mapping[str, str]], Mapping[str, str]]
    #: The options of run that keep them out, from our environment and the variables of the image.
    without_proxies: Callable[[Mapping[str, str], Mapping[str, str]], Arguments]

    def invocation(self, arguments: Arguments, *, env: Mapping[str, str] | None = None) -> Invocation:
        """A call of this engine."""
        return Invocation(argv=(self.program, *arguments), env=env)
