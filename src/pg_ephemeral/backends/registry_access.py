"""How backends speak to registries: with whose credentials, and where plain HTTP is allowed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from pg_ephemeral.oci.reference import Name, Reference

if TYPE_CHECKING:
    from pg_ephemeral.oci.probe import Finding
    from pg_ephemeral.oci.registry import RegistryOptions

#: Registries, separated by commas, that may be spoken to without TLS although they are not on this machine.
INSECURE_VARIABLE = "PG_EPHEMERAL_INSECURE_REGISTRIES"


def options(program: str | None, repository: Name) -> RegistryOptions:
    """For this repository, with the credentials of the engine ``program``, or whoever has some."""
    from pg_ephemeral.oci.credentials import Owner, keychain
    from pg_ephemeral.oci.endpoint import registry_of
    from pg_ephemeral.oci.registry import RegistryOptions

    owners = {"docker": Owner.DOCKER, "podman": Owner.PODMAN}
    chosen = Owner.ANY if program is None else owners.get(program, Owner.ANY)
    return RegistryOptions(keychain=keychain(chosen), insecure=registry_of(repository) in insecure_registries())


def insecure_registries() -> frozenset[str]:
    """The registries that ``INSECURE_VARIABLE`` names."""
    return frozenset(filter(None, os.environ.get(INSECURE_VARIABLE, "").replace(" ", "").split(",")))


def probe(program: str | None, references: Collection[Reference]) -> Mapping[Reference, Finding]:
    """One round of questions, all at once."""
    if not references:
        return {}
    from pg_ephemeral.oci.probe import probe as ask

    return ask(references, options(program, next(iter(references)).name))
