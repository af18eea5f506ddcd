"""An OCI image becomes a stage of the embedded store: checked, unpacked beside, renamed into place.

The image's layers that a present stage has as well are neither fetched nor unpacked: its files are shared, as those of
a stage that was made here are.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pg_ephemeral.backends.stage_images import PREFIX
from pg_ephemeral.backends.stage_key import key_of
from pg_ephemeral.backends.stage_records import StageImage, recall, remember
from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import CacheError, InvalidValue, RegistryError, StageGone
from pg_ephemeral.labels import Metadata
from pg_ephemeral.oci.model import Descriptor, Platform
from pg_ephemeral.oci.read_ahead import reading_ahead
from pg_ephemeral.oci.reference import Reference
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.store import ContentStore, Readable, StoredImage, TransferProgress, read_all
from pg_ephemeral.oci.unpack import Destination, unpack
from pg_ephemeral.postgres.datadir import Copier, Owner, Tree, remove, scan


def receive(
    stages: Stages,
    source: ContentStore,
    image: StoredImage,
    reference: Reference,
    *,
    platform: Platform,
    progress: TransferProgress | None = None,
) -> bool:
    """Make ``image``, which was found in ``source``, the stage that ``reference`` names; False when it was there.

    It must carry the key of ``reference`` and be for ``platform``. Raises ``RegistryError`` with the state ``corrupt``
    when it does not, or is damaged, and ``CacheError``; then no part of it is left.
    """
    key = key_of(reference)
    _check(image, key, platform)
    if stages.labels(key) is not None:
        stages.tag(reference)
        return False
    with source.open_blob(image.reference.name, image.manifest.config) as blob:
        described = StageImage.read(image.content.data, read_all(blob))
    counter = _Counter(image.manifest.layers, progress)
    with stages.place(reference) as stage:
        data = stage / "data"
        base, present = _begin(stages, described, data)
        destination = Destination(
            directory=data,
            prefix=PREFIX,
            # A time that no file of another stage has: files are told apart by it.
            modified=time.time_ns(),
            owner=None if stages.owner is None else (stages.owner.uid, stages.owner.gid),
        )
        for layer in image.manifest.layers[:present]:
            counter.add(layer.size)
        layers = image.manifest.layers[present:]
        with reading_ahead(source, image.reference.name, layers) as opened:
            for index, (layer, diff_id) in enumerate(zip(layers, image.config.diff_ids[present:], strict=True)):
                with opened(index) as blob:
                    unpack(counter.reading(blob), layer, destination, diff_id)
        tree = _sealed(data, image)
        stages.describe(stage, image.config.labels, tree, parent=base)
        remember(stage, described)
    return True


def _check(image: StoredImage, key: CacheKey, platform: Platform) -> None:
    try:
        metadata = Metadata.from_labels(image.config.labels)
        platforms = (image.config.platform, Platform.parse(metadata.platform))
    except (CacheError, InvalidValue) as error:
        raise _corrupt(image, error.message, error.hint) from error
    if metadata.key != key:
        raise _corrupt(image, f"it is labelled as stage {metadata.key}", "something else was pushed under its tag")
    for said in platforms:
        if not platform.runs(said):
            raise _corrupt(image, f"it is for {said}, and this is {platform}", "a stage runs only where it was made")


def _nearest(stages: Stages, image: StageImage) -> tuple[CacheKey, int] | None:
    """The present stage that is most of the image's layers, the lowest ones, and how many."""
    nearest: tuple[CacheKey, int] | None = None
    for key in stages.present():
        known = recall(stages, key)
        count = 0 if known is None else len(known.config.diff_ids)
        if known is None or count <= (nearest[1] if nearest else 0):
            continue
        if image.config.diff_ids[:count] == known.config.diff_ids:
            nearest = key, count
    return nearest


def _begin(stages: Stages, image: StageImage, target: Path) -> tuple[CacheKey | None, int]:
    """Make ``target``, with what is present of the image; return the stage it is of, and how many layers that is."""
    nearest = _nearest(stages, image)
    if nearest is not None:
        try:
            _share(stages, nearest[0], target)
        except StageGone:
            remove(target)
        else:
            return nearest
    _make_directory(target, stages.owner)
    return None, 0


def _share(stages: Stages, key: CacheKey, target: Path) -> None:
    """Begin with the files of a present stage, which are links where there can be. Raises ``StageGone``."""
    source, tree = stages.open(key)
    _make_directory(target, stages.owner)
    for directory in tree.directories:
        _make_directory(target / directory, stages.owner)
    copier = Copier(source, target, stages.owner)
    for path, stamp in tree.files.items():
        try:
            os.link(source / path, target / path)
        except FileNotFoundError as error:
            raise StageGone(f"stage {key} was removed while it was shared", hint="run the command again") from error
        except OSError:
            copier.copy(path, stamp)


def _make_directory(path: Path, owner: Owner | None) -> None:
    path.mkdir(mode=0o700)
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)


def _sealed(data: Path, image: StoredImage) -> Tree:
    tree = scan(data)
    if "PG_VERSION" not in tree.files or "global/pg_control" not in tree.files:
        raise _corrupt(image, "it holds no data directory", "it was not made by pg-ephemeral")
    return tree


class _Counter:
    """Tells how many of all layers' bytes are here, those that were not fetched included."""

    def __init__(self, layers: tuple[Descriptor, ...], progress: TransferProgress | None) -> None:
        self._total = sum(layer.size for layer in layers)
        self._done = 0
        self._progress = progress

    def reading(self, blob: Readable) -> Readable:
        """``blob``, whose bytes are counted as they are read."""
        return _Counted(blob, self)

    def add(self, size: int) -> None:
        """So many bytes more."""
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Counted:
    def __init__(self, blob: Readable, counter: _Counter) -> None:
        self._blob = blob
        self._counter = counter

    def read(self, size: int = -1, /) -> bytes:
        piece = self._blob.read(size)
        self._counter.add(len(piece))
        return piece


def _corrupt(image: StoredImage, what: str, hint: str | None) -> RegistryError:
    return RegistryError(f"{image.reference}: {what}", state=State.CORRUPT, hint=hint)
