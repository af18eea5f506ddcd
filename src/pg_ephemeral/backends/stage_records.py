"""What a stage is as an image, remembered beside it: ``image.json``, with its manifest and configuration byte by byte.

So a second push packs nothing, and a stage that was pulled keeps the very layers it came with.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from msgspec import Struct

from pg_ephemeral.backends.stages import Stages
from pg_ephemeral.chain import CacheKey
from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.model import Descriptor, ImageConfig, Manifest, describe
from pg_ephemeral.oci.store import Content
from pg_ephemeral.paths import unusable

_FILE = "image.json"


class _Record(msgspec.Struct):
    manifest: bytes
    config: bytes


class StageImage(Struct, frozen=True, kw_only=True):
    """A stage as an image: its manifest and its configuration, as bytes and read."""

    content: Content
    config_bytes: bytes
    manifest: Manifest
    config: ImageConfig

    @classmethod
    def read(cls, manifest: bytes, config: bytes) -> StageImage:
        """From the two documents. Raises ``InvalidValue`` for what is neither."""
        read = Manifest.parse(manifest)
        return cls(
            content=Content(descriptor=describe(read.media_type, manifest), data=manifest),
            config_bytes=config,
            manifest=read,
            config=ImageConfig.parse(config),
        )

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """Its layers, the lowest first."""
        return self.manifest.layers


def recall(stages: Stages, key: CacheKey) -> StageImage | None:
    """What the stage was when it was pushed or pulled; None when it never was, or is gone. Raises ``CacheError``."""
    path = stages.directory(key) / _FILE
    try:
        record = msgspec.json.decode(path.read_bytes(), type=_Record)
        return StageImage.read(record.manifest, record.config)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error) from error
    except (msgspec.DecodeError, InvalidValue):
        return None  # it is made anew


def remember(directory: Path, image: StageImage) -> None:
    """Write down what a stage is, in its directory, which may be in use. Raises ``OSError``."""
    beside = directory / f"{_FILE}-{secrets.token_hex(6)}"
    try:
        beside.write_bytes(msgspec.json.encode(_Record(manifest=image.content.data, config=image.config_bytes)))
        beside.rename(directory / _FILE)
    finally:
        beside.unlink(missing_ok=True)


def forget(stages: Stages, key: CacheKey) -> None:
    """Let the stage be described anew. Raises ``CacheError``."""
    path = stages.directory(key) / _FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error) from error
