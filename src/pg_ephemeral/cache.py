"""The cache of one definition on one backend: look, inspect, reset. What is missing is built by ``populate``.

``open_cache`` loads the seeds and computes the chain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from pg_ephemeral.backends.base import Backend, ServerSpec
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.chain import BaseIdentity, CacheKey, Chain, ClusterInputs, RootInputs, Stage, make_chain
from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import (
    CacheError,
)
from pg_ephemeral.labels import INSTANCE_LABEL, Metadata, SeedEntry
from pg_ephemeral.oci.reference import Name, Reference, Tag
from pg_ephemeral.plan import SeedStatus, Status, seed_statuses
from pg_ephemeral.postgres import parameters
from pg_ephemeral.seeds import load_seeds
from pg_ephemeral.version import VERSION


class Cache(Struct, frozen=True, kw_only=True):
    """A definition whose seeds are loaded, on its backend."""

    definition: Definition
    backend: Backend
    identity: BaseIdentity
    chain: Chain

    @property
    def repository(self) -> Name:
        """Under which name stages are kept."""
        return repository_of(self.definition)

    def reference(self, key: CacheKey) -> Reference:
        """The name of the stage with this key."""
        return Reference(name=self.repository, tag=Tag.parse(key))

    def present(self) -> frozenset[CacheKey]:
        """The keys whose stages are here, in one look."""
        keys = {self.reference(key): key for key in self.chain.keys}
        return frozenset(keys[reference] for reference in self.backend.images.get(keys))

    def spec(
        self, *, directories: tuple[Path, ...] = (), own_network: bool = False, for_stage: bool = False
    ) -> ServerSpec:
        """How servers of this definition run; ``directories`` and ``own_network`` are for programs beside them."""
        definition = self.definition
        reads_files = any(stage.loaded.reads_files for stage in self.chain.stages)
        return ServerSpec(
            superuser=definition.superuser,
            database=definition.database,
            parameters=parameters.effective(definition.parameters, test_profile=definition.test_profile),
            timeout=definition.wait_available_timeout,
            tls=definition.tls.hostname if definition.tls is not None else None,
            application_name=definition.application_name,
            directories=directories,
            files=definition.directory if reads_files else None,
            # Scripts run where the server does, and seeds that are not cached may have one at each boot.
            own_network=own_network or any(stage.loaded.needs_build for stage in self.chain.stages),
            for_stage=for_stage,
            seeding=for_stage or self.chain.breaker is not None,
        )

    def metadata(self, stage: Stage | None) -> Metadata:
        """What the labels of a stage say; None is stage 0."""
        held = self.chain.stages[: stage.position] if stage is not None else ()
        tls = self.definition.tls if stage is not None else None
        return Metadata(
            version=VERSION,
            instance=self.definition.instance,
            key=self.chain.cluster if stage is None or stage.key is None else stage.key,
            image=str(self.definition.image),
            platform=self.identity.platform,
            postgres=self.identity.version,
            superuser=self.definition.superuser,
            database=self.definition.database,
            seeds=tuple(SeedEntry(name=one.name, kind=one.loaded.seed.kind, hash=one.key) for one in held),
            ssl_hostname=tls.hostname if tls is not None else None,
        )


def open_cache(definition: Definition, backend: Backend) -> Cache:
    """Load the seeds and compute the chain. Raises ``SeedLoadError`` and ``BackendError``; nothing is started."""
    identity = backend.identify()
    loaded = load_seeds(definition.seeds, definition.directory)
    chain = make_chain(
        ClusterInputs(identity=identity, superuser=definition.superuser, database=definition.database),
        RootInputs(
            parameters=definition.parameters,
            test_profile=definition.test_profile,
            tls=definition.tls.hostname if definition.tls is not None else None,
        ),
        loaded,
    )
    return Cache(definition=definition, backend=backend, identity=identity, chain=chain)


def repository_of(definition: Definition) -> Name:
    """The one in the registry if there is one, else ``pg-ephemeral/<instance>``. It is not part of any key."""
    shared = definition.shared_repository
    return shared if shared is not None else _local_repository(definition.instance)


def _local_repository(instance: str) -> Name:
    return Name.parse("pg-ephemeral").extended(instance)


class StatusReport(Struct, frozen=True, kw_only=True):
    """What ``cache status`` shows."""

    cache: Cache
    seeds: tuple[SeedStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``cache status --json``, keys in their order."""
        counts = {status: sum(seed.status is status for seed in self.seeds) for status in Status}
        return {
            "instance": str(self.cache.definition.instance),
            "base_image": str(self.cache.definition.image),
            "version": VERSION,
            "summary": {
                "total": len(self.seeds),
                "hits": counts[Status.HIT],
                "misses": counts[Status.MISS],
                "uncacheable": counts[Status.UNCACHEABLE],
            },
            "seeds": [self._seed(seed) for seed in self.seeds],
        }

    def _seed(self, seed: SeedStatus) -> dict[str, str]:
        key = seed.stage.key
        members = {
            "name": seed.stage.name,
            "type": seed.stage.loaded.seed.kind,
            "status": seed.status.value,
            "cache_image": None if key is None else str(self.cache.reference(key)),
            "reason": None if seed.reason is None else seed.reason.value,
            "broken_by": seed.broken_by,
        }
        return {name: str(value) for name, value in members.items() if value is not None}


def status(cache: Cache) -> StatusReport:
    """Where every seed stands."""
    return StatusReport(cache=cache, seeds=seed_statuses(cache.chain, cache.present()))


def reset(
    definition: Definition, backend: Backend, *, force: bool = False, keep: Collection[CacheKey] = ()
) -> Iterator[Reference]:
    """Forget the instance's stages, old ones included, but for those to ``keep``; yields each reference once gone.

    They are those of its repository in the registry, and of the one they have without a registry.
    """
    local = _local_repository(definition.instance)
    for repository in dict.fromkeys((repository_of(definition), local)):
        shared = repository != local and "{instance}" not in str(definition.cache_repository)
        for image in backend.images.list(repository):
            if shared and image.labels.get(INSTANCE_LABEL, definition.instance) != definition.instance:
                continue  # another's, in a repository for all
            if key_of(image.reference) not in keep and backend.images.remove(image.reference, force=force):
                yield image.reference


def reset_all(backend: Backend, *, force: bool = False) -> Iterator[Reference]:
    """Forget every stage of the backend, whosever it is; yields each reference once it is gone."""
    for image in backend.images.list(None):
        if backend.images.remove(image.reference, force=force):
            yield image.reference


def inspect(backend: Backend, reference: Reference) -> Metadata:
    """What a stage says of itself. Raises ``CacheError`` when it is absent or is not one of ours."""
    image = backend.images.get([reference]).get(reference)
    if image is None:
        raise CacheError(f"{reference} is not in the cache", hint="pg-ephemeral cache status lists the stages")
    return Metadata.from_labels(image.labels)
