"""Cache keys and the chain of stages they name. Pure: inputs in, keys out; no file, clock or server is touched.

A key is the SHA-256 of a canonical JSON array, so that every field is framed and two different inputs can never run
together into one text::

    cluster key = H([SCHEMA, "cluster", null,        {base identity, platform, superuser, database}])
    root key    = H([SCHEMA, "root",    cluster key, {parameters, test profile, tls}])
    stage key   = H([SCHEMA, kind,      parent key,  inputs])

The cluster key names stage 0, the freshly initialised cluster, which definitions that differ only in parameters share.
A seed's name is a label and not an input. A seed without inputs to hash is not cacheable: the chain is broken there,
and from it on seeds have no key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from msgspec import Struct

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.seeds.base import Inputs, LoadedSeed

#: Changed only when the meaning of a key's inputs changes; a release that changes nothing keeps every cache.
SCHEMA = 1

_HEX_DIGITS = 64


class CacheKey(str):
    """A SHA-256 in 64 lower-case hexadecimal digits. Parsing accepts upper case.

    Raises ``InvalidValue`` of kind ``invalid-length`` or ``invalid-hex``.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check ``text`` and lower its case."""
        if len(text) != _HEX_DIGITS:
            raise InvalidValue(
                f"cache key {text!r} has {len(text)} characters, not {_HEX_DIGITS}", kind="invalid-length"
            )
        lowered = text.lower()
        if not set(lowered) <= set("0123456789abcdef"):
            raise InvalidValue(f"cache key {text!r} is not hexadecimal", kind="invalid-hex")
        return super().__new__(cls, lowered)


def canonical_json(value: object) -> bytes:
    """JSON in one spelling: keys sorted, no white space, ASCII, no NaN. Raises ``TypeError`` for anything else."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def derive(kind: str, parent: CacheKey | None, inputs: Inputs) -> CacheKey:
    """The key of ``inputs`` of this kind on top of ``parent``."""
    return CacheKey(hashlib.sha256(canonical_json([SCHEMA, kind, parent, inputs])).hexdigest())


class BaseIdentity(Struct, frozen=True, kw_only=True):
    """What a chain starts from, as a backend knows it: everything about it that a stage's bytes depend on.

    ``fields`` enters the key; ``platform`` is ``os/architecture`` in OCI words; ``version`` is PostgreSQL's, for
    people.
    """

    fields: Mapping[str, Any]
    platform: str
    version: str


class ClusterInputs(Struct, frozen=True, kw_only=True):
    """What stage 0 depends on."""

    identity: BaseIdentity
    superuser: str
    database: str


class RootInputs(Struct, frozen=True, kw_only=True):
    """What every seeded stage depends on besides its seeds. ``tls`` is the host name of the certificate, if any."""

    parameters: Mapping[str, str]
    test_profile: bool
    tls: str | None


class Stage(Struct, frozen=True, kw_only=True):
    """A seed at its place in a chain. ``key`` is None from the first seed that cannot be cached onward."""

    position: int
    loaded: LoadedSeed
    key: CacheKey | None

    @property
    def name(self) -> str:
        """The seed's name."""
        return self.loaded.seed.name


class Chain(Struct, frozen=True, kw_only=True):
    """Stage 0's key and the stages on top of it, in order."""

    cluster: CacheKey
    stages: tuple[Stage, ...]

    @property
    def keys(self) -> tuple[CacheKey, ...]:
        """Every key, stage 0's first."""
        return (self.cluster, *(stage.key for stage in self.stages if stage.key is not None))

    @property
    def cacheable(self) -> tuple[Stage, ...]:
        """The stages that have a key."""
        return tuple(stage for stage in self.stages if stage.key is not None)

    @property
    def breaker(self) -> Stage | None:
        """The first seed that cannot be cached."""
        return next((stage for stage in self.stages if stage.key is None), None)


def make_chain(cluster: ClusterInputs, root: RootInputs, loaded: Sequence[LoadedSeed]) -> Chain:
    """Compute every key of a definition whose seeds are loaded."""
    cluster_key = derive(
        "cluster",
        None,
        {
            "base": cluster.identity.fields,
            "platform": cluster.identity.platform,
            "superuser": cluster.superuser,
            "database": cluster.database,
        },
    )
    parent: CacheKey | None = derive(
        "root",
        cluster_key,
        {"parameters": dict(root.parameters), "test_profile": root.test_profile, "tls": root.tls},
    )
    stages = []
    for position, seed in enumerate(loaded, start=1):
        inputs = seed.inputs
        parent = derive(seed.key_kind, parent, inputs) if parent is not None and inputs is not None else None
        stages.append(Stage(position=position, loaded=seed, key=parent))
    return Chain(cluster=cluster_key, stages=tuple(stages))
