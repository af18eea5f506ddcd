"""The requests of the distribution specification as values, and what their answers' headers say. No input or output."""

from __future__ import annotations

import json
from collections.abc import Collection

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.endpoint import served_as
from pg_ephemeral.oci.model import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from pg_ephemeral.oci.reference import Digest, Name, Reference
from pg_ephemeral.oci.session import Ask
from pg_ephemeral.oci.transport import Response

__all__ = ["blob_ask", "described", "digest_of", "manifest_ask", "media_type_of", "scope"]

#: On one line, for there are proxies that keep the last of several.
_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))


def manifest_ask(method: str, reference: Reference, *, accept: Collection[int]) -> Ask:
    """Ask for a manifest or an index, by its digest if the reference has one."""
    named = reference.digest or reference.tag or "latest"
    return Ask(
        method=method,
        url=f"{served_as(reference.name)}/manifests/{named}",
        what=str(reference),
        scopes=(scope(reference.name, "pull"),),
        headers={"Accept": _ACCEPT},
        accept=accept,
    )


def blob_ask(method: str, repository: Name, descriptor: Descriptor, *, accept: Collection[int]) -> Ask:
    """Ask for a blob."""
    return Ask(
        method=method,
        url=f"{served_as(repository)}/blobs/{descriptor.digest}",
        what=f"{repository}: {descriptor.digest}",
        scopes=(scope(repository, "pull"),),
        accept=accept,
    )


def scope(repository: Name, actions: str) -> str:
    """What a token must allow: ``actions``, joined by commas, in this repository."""
    return f"repository:{served_as(repository)}:{actions}"


def media_type_of(response: Response, data: bytes) -> str:
    """What the content says it is, for there are registries that call everything JSON; else what the header says."""
    try:
        inside = json.loads(data).get("mediaType")
    except (ValueError, AttributeError, RecursionError):
        inside = None
    return inside if isinstance(inside, str) and inside else _header_type(response)


def _header_type(response: Response) -> str:
    return (response.header("Content-Type") or "").partition(";")[0].strip()


def digest_of(response: Response) -> Digest | None:
    """The digest the registry gives; None without one, and for one of a kind that cannot be checked."""
    try:
        digest = Digest.parse(response.header("Docker-Content-Digest") or "")
        return Descriptor(media_type="", digest=digest, size=0).digest
    except InvalidValue:
        return None


def described(response: Response, reference: Reference) -> Descriptor | None:
    """Describe a manifest by the headers alone; None when they do not tell."""
    digest, length = digest_of(response), response.header("Content-Length") or ""
    media_type = _header_type(response)
    if digest is None or not length.isdigit() or media_type not in (*MANIFEST_TYPES, *INDEX_TYPES):
        return None
    if reference.digest is not None and reference.digest != digest:
        return None
    return Descriptor(media_type=media_type, digest=digest, size=int(length))
