"""Stages of the embedded store to registries and back, by our own client."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pg_ephemeral.backends import registry_access
from pg_ephemeral.backends.base import Exchange, Transferred
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.oci.model import Platform
from pg_ephemeral.oci.reference import Name, Reference

if TYPE_CHECKING:
    from pg_ephemeral.backends.stage_images import StageImages
    from pg_ephemeral.oci.probe import Finding
    from pg_ephemeral.oci.registry import RegistryStore


@contextmanager
def embedded_exchange(stages: Stages, platform: str) -> Iterator[Exchange]:
    """For the life of the block; connections and packed layers are kept as long."""
    with ExitStack() as stack:
        yield _Exchange(stages, Platform.parse(platform), stack)


class _Exchange:
    def __init__(self, stages: Stages, platform: Platform, stack: ExitStack) -> None:
        self._stages = stages
        self._platform = platform
        self._stack = stack
        self._images: StageImages | None = None
        self._registries: dict[Name, RegistryStore] = {}

    def probe(self, references: Collection[Reference]) -> Mapping[Reference, Finding]:
        return registry_access.probe(None, references)

    def may_reach(self, reference: Reference, finding: Finding) -> bool:  # noqa: ARG002 -- whoever asks is we ourselves
        return False

    def pull(self, reference: Reference, *, progress: Transferred) -> bool:
        from pg_ephemeral.backends.stage_intake import receive
        from pg_ephemeral.oci.store import find_image

        registry = self._registry(reference.name)
        image = find_image(registry, reference, self._platform)
        if image is None:
            return False
        receive(self._stages, registry, image, reference, platform=self._platform, progress=progress)
        return True

    def push(self, reference: Reference, *, progress: Transferred) -> int | None:
        from pg_ephemeral.backends.stage_images import StageImages

        if self._images is None:
            self._images = self._stack.enter_context(StageImages(self._stages))
        registry, others = self._registry(reference.name), self._stages.named(reference)
        sent = self._images.push(reference, registry, mount_from=others, progress=progress).sent_bytes
        # So that another repository of this registry can be told where the layers are.
        self._stages.tag(reference)
        return sent

    def _registry(self, repository: Name) -> RegistryStore:
        from pg_ephemeral.oci.registry import RegistryStore

        if repository not in self._registries:
            store = RegistryStore(registry_access.options(None, repository))
            self._registries[repository] = self._stack.enter_context(store)
        return self._registries[repository]
