"""What a stage says of itself: metadata as the labels of its image, and back.

Labels hold names, kinds and keys; never a password, a seed's content, a script or a path of this machine. They are
what ``cache inspect`` shows and what a pulled image is checked by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import CacheError, InvalidValue

PREFIX = "pg-ephemeral."

#: The label that an image is known by as a stage, whatever it is called.
KEY_LABEL = PREFIX + "key"
INSTANCE_LABEL = PREFIX + "instance"
PLATFORM_LABEL = PREFIX + "platform"

_VALUE_LIMIT = 65_536


class SeedEntry(Struct, frozen=True, kw_only=True):
    """A seed as a label shows it. ``hash`` is its stage's key, None when it is uncacheable."""

    name: str
    kind: str
    hash: CacheKey | None

    def to_json(self) -> dict[str, Any]:
        """Its members in the order they are written: name, type, hash."""
        return {"name": self.name, "type": self.kind, "hash": self.hash}


class Metadata(Struct, frozen=True, kw_only=True):
    """What is known of a stage: by what it was made, for what, from what, and which seeds it holds, itself last.

    ``key`` is its own cache key, ``image`` the image setting's canonical text, ``platform`` is os/architecture and
    ``ssl_hostname`` the name its certificates are for, if TLS is on. A stage 0 holds no seeds.
    """

    version: str
    instance: str
    key: CacheKey
    image: str
    platform: str
    postgres: str
    superuser: str
    database: str
    seeds: tuple[SeedEntry, ...] = ()
    ssl_hostname: str | None = None

    def to_labels(self) -> dict[str, str]:
        """Render as labels, sorted by key. Raises ``CacheError`` when the seeds do not fit a label."""
        seeds = json.dumps([entry.to_json() for entry in self.seeds], separators=(",", ":"))
        if len(seeds) > _VALUE_LIMIT:
            raise CacheError(
                f"instance {self.instance!r} has too many seeds to describe in a label: {len(self.seeds)}",
                hint="merge some of them",
            )
        labels = {
            "version": self.version,
            "instance": self.instance,
            "key": self.key,
            "image": self.image,
            "platform": self.platform,
            "postgres": self.postgres,
            "superuser.user": self.superuser,
            "superuser.database": self.database,
            "seeds": seeds,
        }
        if self.ssl_hostname is not None:
            labels["ssl.hostname"] = self.ssl_hostname
        return {PREFIX + name: str(value) for name, value in sorted(labels.items())}

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Metadata:
        """Read labels. Raises ``CacheError`` naming the label that is missing or malformed."""
        return cls(
            version=_required(labels, "version"),
            instance=_required(labels, "instance"),
            key=_key(_required(labels, "key"), label="key"),
            image=_required(labels, "image"),
            platform=_required(labels, "platform"),
            postgres=_required(labels, "postgres"),
            superuser=_required(labels, "superuser.user"),
            database=_required(labels, "superuser.database"),
            seeds=_seeds(_required(labels, "seeds")),
            ssl_hostname=labels.get(PREFIX + "ssl.hostname"),
        )

    def to_json(self) -> dict[str, Any]:
        """What ``cache inspect`` prints, keys in alphabetical order; ``ssl`` only with TLS."""
        document: dict[str, Any] = {
            "image": self.image,
            "instance": self.instance,
            "key": self.key,
            "platform": self.platform,
            "postgres": self.postgres,
            "seeds": [entry.to_json() for entry in self.seeds],
        }
        if self.ssl_hostname is not None:
            document["ssl"] = {"hostname": self.ssl_hostname}
        document["superuser"] = {"database": self.database, "user": self.superuser}
        document["version"] = self.version
        return document


def _required(labels: Mapping[str, str], name: str) -> str:
    try:
        return labels[PREFIX + name]
    except KeyError:
        raise CacheError(
            f"label {PREFIX}{name} is missing", hint="this image was not made by this version of pg-ephemeral"
        ) from None


def _key(text: str, *, label: str) -> CacheKey:
    try:
        return CacheKey(text)
    except InvalidValue as error:
        raise CacheError(f"label {PREFIX}{label}: {error.message}") from error


def _seeds(text: str) -> tuple[SeedEntry, ...]:
    try:
        entries = json.loads(text)
        return tuple(
            SeedEntry(
                name=entry["name"],
                kind=entry["type"],
                hash=None if entry["hash"] is None else _key(entry["hash"], label="seeds"),
            )
            for entry in entries
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CacheError(f"label {PREFIX}seeds is not a list of seeds: {error}") from error
