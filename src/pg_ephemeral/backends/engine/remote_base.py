"""The base image as its registry describes it, without fetching it: enough to know the keys of stages.

A fresh machine that pulls a stage gets the base's layers with it, so that the base alone is never needed.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pg_ephemeral.backends import registry_access
from pg_ephemeral.backends.engine.commands import ImageFacts, read_description
from pg_ephemeral.errors import PgEphemeralError
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Reference

#: To ask for three small documents, in seconds; beyond it the engine is asked to pull, which it may do from elsewhere.
_LIMIT = 10.0


def remote_facts(reference: Reference, platform: Platform, *, credentials: str) -> ImageFacts | None:
    """What an engine would say of the image if it had it; None when the registry cannot be asked, or has none."""
    from pg_ephemeral.oci.patience import Patience
    from pg_ephemeral.oci.registry import RegistryStore
    from pg_ephemeral.oci.store import find_image, read_all
    from pg_ephemeral.oci.transport import Timeouts

    options = replace(
        registry_access.options(credentials, reference.name),
        patience=Patience(tries=2, limit=_LIMIT),
        timeouts=Timeouts(connect=_LIMIT / 2, idle=_LIMIT),
    )
    try:
        with RegistryStore(options) as store:
            image = find_image(store, reference, platform)
            if image is None:
                return None
            with store.open_blob(reference.name, image.manifest.config) as blob:
                members = json.loads(read_all(blob))
        return read_description(
            {
                "Id": str(image.manifest.config.digest),
                "Config": members.get("config"),
                "Created": members.get("created"),
                "RootFS": {"Layers": members["rootfs"]["diff_ids"]},
                "Os": members["os"],
                "Architecture": members["architecture"],
                "Variant": members.get("variant"),
            }
        )
    except (PgEphemeralError, ValueError, KeyError, TypeError):
        return None  # the engine's own pull says what is wrong, or finds it by a mirror
