"""Stages of the embedded store as OCI images, to be pushed: a content store that can be read.

An image has a layer for each stage from the first one on: the last holds what its stage changed, those before it are
the very layers of the parent's image. So stages share layers in a registry as they share files here. Nothing is packed
before it is asked for, and nothing that was described before (``stage_records``) until its bytes are.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import NoReturn, Self

from pg_ephemeral.backends.runs import Run, new_run
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.backends.stage_records import StageImage, forget, recall, remember
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import CacheError, StageGone
from pg_ephemeral.labels import Metadata
from pg_ephemeral.oci import store
from pg_ephemeral.oci.changeset import difference
from pg_ephemeral.oci.layer import Packed, Placement, pack
from pg_ephemeral.oci.model import OCI_CONFIG, Descriptor, ImageConfig, Manifest, Platform, describe
from pg_ephemeral.oci.reference import Digest, Name, Reference
from pg_ephemeral.oci.store import BlobSource, Content, ContentStore, Copied, Readable, TransferProgress
from pg_ephemeral.paths import unusable

#: Where in the image the data directory lies, and whose it is there: the official image's user of PostgreSQL.
PREFIX = "var/lib/pg-ephemeral/data"
_PLACEMENT = Placement(prefix=PREFIX, uid=999, gid=999)

#: Engines cannot stack many more than a hundred layers; a longer chain begins anew, with one that holds everything.
MOST_LAYERS = 100


class _Unreproducible(CacheError):
    """A layer that is remembered cannot be packed again: its stage is gone, or it was packed on another machine."""


class StageImages:
    """The stages as images. A context: what is packed is kept in files until its end."""

    def __init__(self, stages: Stages, *, most_layers: int = MOST_LAYERS) -> None:
        self._stages = stages
        self._most_layers = most_layers
        self._guard = threading.RLock()
        self._run: Run | None = None
        self._images: dict[CacheKey, StageImage] = {}
        #: Whose change a layer is, since which stage.
        self._changes: dict[Digest, tuple[CacheKey, CacheKey | None]] = {}
        self._files: dict[Digest, Path] = {}
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that was left behind may be packing; it holds the guard until it notices.
        self._closed.set()
        with self._guard:
            run, self._run = self._run, None
            self._images.clear()
            self._changes.clear()
            self._files.clear()
        if run is not None:
            run.close()

    def push(
        self,
        reference: Reference,
        target: ContentStore,
        *,
        mount_from: Collection[Name] = (),
        progress: TransferProgress | None = None,
    ) -> Copied:
        """Copy a stage to ``target``, which gets only the layers it does not have, under the same name.

        Raises ``StageGone``, ``CacheError``, and what ``target`` raises.
        """
        try:
            return self._copy(reference, target, mount_from, progress)
        except _Unreproducible:
            # A layer that we have unpacked but did not pack, and the target does not have: describe the stage anew.
            self._forget(key_of(reference))
            return self._copy(reference, target, mount_from, progress)

    def image(self, key: CacheKey) -> StageImage:
        """The stage as an image; what was never described is packed now. Raises ``StageGone`` and ``CacheError``."""
        with self._guard:
            image = self._images.get(key)
            if image is None:
                image = self._images[key] = self._describe(key)
            return image

    def resolve(self, reference: Reference) -> Descriptor | None:
        """Describe the stage's manifest; None when there is no such stage."""
        content = self.manifest(reference)
        return None if content is None else content.descriptor

    def manifest(self, reference: Reference) -> Content | None:
        """The stage's manifest; None when there is no such stage. By digest, only those described before are found."""
        if reference.digest is not None:
            known = (image.content for image in list(self._images.values()))
            return next((one for one in known if one.descriptor.digest == reference.digest), None)
        try:
            return self.image(key_of(reference)).content
        except StageGone:
            return None

    def has_blob(self, repository: Name, descriptor: Descriptor) -> bool:  # noqa: ARG002 -- one store is all of it
        """Whether an image that was described here refers to it."""
        with self._guard:
            return any(descriptor.digest == blob.digest for one in self._images.values() for blob in one.manifest.blobs)

    @contextmanager
    def open_blob(self, repository: Name, descriptor: Descriptor) -> Iterator[Readable]:  # noqa: ARG002 -- as above
        """A configuration or a layer of an image that was described here; packs the layer again if need be.

        Raises ``CacheError`` when that cannot be done. What is packed has the right digest, or is not handed out.
        """
        with self._guard, ExitStack() as opened:
            known = (one for one in self._images.values() if one.manifest.config.digest == descriptor.digest)
            config = next(known, None)
            blob: Readable
            if config is not None:
                blob = BytesIO(config.config_bytes)
            else:
                blob = opened.enter_context(self._layer(descriptor).open("rb", buffering=0))
            kept = opened.pop_all()
        with kept:
            yield blob

    def put_blob(
        self,
        repository: Name,
        descriptor: Descriptor,
        source: BlobSource,  # noqa: ARG002 -- refused
        *,
        mount_from: Collection[Name] = (),  # noqa: ARG002 -- refused
    ) -> NoReturn:
        """Refuse: stages come in by ``stage_intake``."""
        raise TypeError(f"{repository}: a store of stages takes no blob {descriptor.digest}")

    def put_manifest(self, reference: Reference, media_type: str, data: bytes) -> NoReturn:
        """Refuse: stages come in by ``stage_intake``."""
        raise TypeError(f"{reference}: a store of stages takes no {media_type} of {len(data)} bytes")

    def _copy(
        self,
        reference: Reference,
        target: ContentStore,
        mount_from: Collection[Name],
        progress: TransferProgress | None,
    ) -> Copied:
        platform = self.image(key_of(reference)).config.platform
        image = store.find_image(self, reference, platform)
        if image is None:
            raise _gone(key_of(reference))
        return store.copy(image, self, target, mount_from=mount_from, progress=progress)

    def _describe(self, key: CacheKey) -> StageImage:
        """As it is remembered, else as the parent's image with one more layer."""
        remembered = recall(self._stages, key)
        parent = self._parent(key, only_remembered=remembered is not None)
        image = remembered or self._make(key, parent)
        below = self._images[parent].layers if parent is not None else ()
        if image.layers[:-1] == below:
            self._changes[image.layers[-1].digest] = (key, parent)
        elif len(image.layers) == 1:
            self._changes[image.layers[0].digest] = (key, None)
        return image

    def _parent(self, key: CacheKey, *, only_remembered: bool) -> CacheKey | None:
        """The stage to build on; None for a first stage, when it is gone, and where a new stack begins."""
        parent = self._stages.parent(key)
        if parent is None or (only_remembered and recall(self._stages, parent) is None):
            return None
        try:
            image = self.image(parent)
        except StageGone:
            return None
        return parent if len(image.layers) < self._most_layers else None

    def _make(self, key: CacheKey, parent: CacheKey | None) -> StageImage:
        labels = self._stages.labels(key)
        if labels is None:
            raise _gone(key)
        packed = self._pack(key, parent)
        below = self._images[parent] if parent is not None else None
        config = ImageConfig(
            platform=Platform.parse(Metadata.from_labels(labels).platform),
            diff_ids=(*(below.config.diff_ids if below else ()), packed.diff_id),
            labels=labels,
            history=(*(below.config.history if below else ()), f"pg-ephemeral stage {key}"),
        ).render()
        layers = (*(below.layers if below else ()), packed.descriptor)
        manifest = Manifest(config=describe(OCI_CONFIG, config), layers=layers).render()
        image = StageImage.read(manifest, config)
        try:
            remember(self._stages.directory(key), image)
        except FileNotFoundError as error:
            raise _gone(key) from error
        except OSError as error:
            raise unusable(self._stages.root, error) from error
        return image

    def _layer(self, descriptor: Descriptor) -> Path:
        """The file of a layer: packed before, or packed again, in which case it may turn out another."""
        if descriptor.digest not in self._files and descriptor.digest in self._changes:
            self._pack(*self._changes[descriptor.digest])
        if descriptor.digest not in self._files:
            raise _Unreproducible(f"layer {descriptor.digest} cannot be packed again")
        return self._files[descriptor.digest]

    def _pack(self, key: CacheKey, parent: CacheKey | None) -> Packed:
        """Write what ``key`` changed since ``parent`` to a file of ours."""
        if self._closed.is_set():
            raise _unneeded()
        data, _ = self._stages.open(key)
        before = None if parent is None else self._stages.open(parent)[0]
        try:
            if self._run is None:
                self._run = new_run(self._stages.root / "ingest")
            beside = self._run.path / "layer"
            with beside.open("wb", buffering=0) as file:
                packed = pack(data, difference(data, before), _Needed(file, self._closed), _PLACEMENT)
            path = self._run.path / packed.descriptor.digest.hex
            beside.rename(path)
        except FileNotFoundError as error:
            raise _gone(key) from error
        except OSError as error:
            raise unusable(self._stages.root, error) from error
        self._files[packed.descriptor.digest] = path
        return packed

    def _forget(self, key: CacheKey) -> None:
        """Let a stage and those below it be described anew."""
        with self._guard:
            at: CacheKey | None = key
            while at is not None:
                self._images.pop(at, None)
                forget(self._stages, at)
                at = self._stages.parent(at)
            self._changes.clear()


class _Needed:
    """A file that is written as long as somebody needs it."""

    def __init__(self, file: RawIOBase, closed: threading.Event) -> None:
        self._file = file
        self._closed = closed

    def write(self, data: bytes, /) -> None:
        if self._closed.is_set():
            raise _unneeded()
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) or 0 :]


def _unneeded() -> CacheError:
    return CacheError("nobody needs what is being packed any more")


def _gone(key: CacheKey) -> StageGone:
    return StageGone(f"stage {key} is gone from the cache", hint="run the command again")
