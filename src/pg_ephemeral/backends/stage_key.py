"""The key in a stage's name."""

from __future__ import annotations

from pg_ephemeral.chain import CacheKey
from pg_ephemeral.oci.reference import Reference


def key_of(reference: Reference) -> CacheKey:
    """The key that a stage's reference carries as its tag. Raises ``InvalidValue`` when it is not one."""
    return CacheKey(str(reference.tag))
