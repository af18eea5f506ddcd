"""Images as values: descriptors, manifests, indexes, configurations, in OCI form; Docker's forms are read as well.

Image specification 1.1. Parsing is strict where something depends on it (digests, sizes, media types, the shape) and
leaves unknown members alone; what is read raises ``InvalidValue`` with the kind ``unparsed`` or ``unsupported``.
Rendering is canonical: equal values are equal bytes, hence equal digests. No input or output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.members import a_text, an_object, array, document, nothing, number, text, texts
from pg_ephemeral.oci.reference import Algorithm, Digest

__all__ = [
    "DOCKER_CONFIG",
    "DOCKER_INDEX",
    "DOCKER_LAYER_GZIP",
    "DOCKER_MANIFEST",
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_LAYER_GZIP",
    "OCI_LAYER_ZSTD",
    "OCI_MANIFEST",
    "Descriptor",
    "ImageConfig",
    "Index",
    "Manifest",
    "Platform",
    "canonical",
    "describe",
]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)

_HASHES = {"sha256": 64, "sha512": 128}


def canonical(value: Any) -> bytes:
    """Render a JSON value so that equal values are equal bytes: sorted members, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Platform:
    """What an image runs on, in Go's words: ``linux/amd64``, ``linux/arm/v7``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``os/architecture[/variant]``."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InvalidValue(f"platform {text!r}", kind="unparsed", hint="os/architecture, such as linux/amd64")
        return cls(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else "")

    def runs(self, other: Platform) -> bool:
        """Whether this machine's platform takes ``other``; a variant matters only where both have one."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (not self.variant or not other.variant or self.variant == other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Points at content: its media type, digest and size in bytes. ``platform`` is set inside an index."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=nothing, hash=False)
    platform: Platform | None = None

    def __post_init__(self) -> None:
        algorithm = str(self.digest.algorithm)
        if _HASHES.get(algorithm) != len(self.digest.hex) or self.digest.hex != self.digest.hex.lower():
            raise InvalidValue(f"digest {self.digest}: neither sha256 nor sha512", kind="unsupported")
        if self.size < 0:
            raise InvalidValue(f"descriptor of {self.digest}: size {self.size}", kind="unparsed")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read a descriptor out of parsed JSON."""
        members = an_object(value, "descriptor")
        platform = members.get("platform")
        return cls(
            media_type=text(members, "mediaType", "descriptor"),
            digest=Digest.parse(text(members, "digest", "descriptor")),
            size=number(members, "size"),
            annotations=texts(members.get("annotations"), "annotations"),
            platform=None if platform is None else _platform(platform),
        )

    def to_json(self) -> dict[str, Any]:
        """Its members, those without a value left out."""
        members: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        if self.platform is not None:
            members["platform"] = _platform_members(self.platform)
        return members


def describe(media_type: str, content: bytes) -> Descriptor:
    """Describe content that is in memory, by its sha256."""
    digest = Digest(algorithm=Algorithm(text="sha256"), hex=hashlib.sha256(content).hexdigest())
    return Descriptor(media_type=media_type, digest=digest, size=len(content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image for one platform: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = OCI_MANIFEST
    annotations: Mapping[str, str] = field(default_factory=nothing, hash=False)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a manifest, OCI or Docker schema 2."""
        members = document(content, "manifest")
        if members.get("schemaVersion") != 2 or "config" not in members:
            raise InvalidValue("manifest of an unknown schema", kind="unsupported")
        return cls(
            config=Descriptor.from_json(members["config"]),
            layers=tuple(Descriptor.from_json(layer) for layer in array(members, "layers")),
            media_type=_media_type(members, MANIFEST_TYPES, default=OCI_MANIFEST),
            annotations=texts(members.get("annotations"), "annotations"),
        )

    def render(self) -> bytes:
        """Render canonically."""
        members: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        return canonical(members)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All content it points at, each once: the configuration, then the layers."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Several manifests under one name, told apart by platform."""

    manifests: tuple[Descriptor, ...]
    media_type: str = OCI_INDEX
    annotations: Mapping[str, str] = field(default_factory=nothing, hash=False)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read an index, or a Docker manifest list."""
        members = document(content, "index")
        if members.get("schemaVersion") != 2:
            raise InvalidValue("index of an unknown schema", kind="unsupported")
        return cls(
            manifests=tuple(Descriptor.from_json(one) for one in array(members, "manifests")),
            media_type=_media_type(members, INDEX_TYPES, default=OCI_INDEX),
            annotations=texts(members.get("annotations"), "annotations"),
        )

    def render(self) -> bytes:
        """Render canonically; the manifests stay in their order."""
        members: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [one.to_json() for one in self.manifests],
        }
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        return canonical(members)

    def choose(self, platform: Platform) -> Descriptor | None:
        """The first manifest for ``platform``; None when there is none. One that names no platform fits none."""
        for one in self.manifests:
            if one.media_type in MANIFEST_TYPES and one.platform is not None and platform.runs(one.platform):
                return one
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """An image's configuration: what it runs on, its labels, and the digests of its layers' uncompressed tars.

    ``created`` is a time in RFC 3339; ``history`` has one text per layer. What a container would run is not modelled.
    """

    platform: Platform
    diff_ids: tuple[Digest, ...]
    labels: Mapping[str, str] = field(default_factory=nothing, hash=False)
    created: str = "1970-01-01T00:00:00Z"
    history: tuple[str, ...] = ()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a configuration, OCI or Docker."""
        members = document(content, "configuration")
        root = an_object(members.get("rootfs"), "rootfs")
        settings = members.get("config")
        labels = None if settings is None else an_object(settings, "config").get("Labels")
        history = members.get("history")
        return cls(
            platform=_platform(members),
            diff_ids=tuple(Digest.parse(a_text(one, "diff_ids")) for one in array(root, "diff_ids")),
            labels=texts(labels, "Labels"),
            created=str(members.get("created") or "1970-01-01T00:00:00Z"),
            history=_steps(history),
        )

    def render(self) -> bytes:
        """Render canonically, in OCI form."""
        members: dict[str, Any] = {
            **_platform_members(self.platform),
            "created": self.created,
            "config": {"Labels": dict(self.labels)} if self.labels else {},
            "rootfs": {"type": "layers", "diff_ids": [str(one) for one in self.diff_ids]},
        }
        if self.history:
            members["history"] = [{"created": self.created, "created_by": step} for step in self.history]
        return canonical(members)


def _steps(history: Any) -> tuple[str, ...]:
    """What made each layer; entries that made none are left out."""
    entries: Sequence[Any] = history if isinstance(history, list) else ()
    known = [entry for entry in entries if isinstance(entry, dict) and not entry.get("empty_layer")]
    return tuple(str(entry.get("created_by", "")) for entry in known)


def _media_type(members: dict[str, Any], known: tuple[str, ...], *, default: str) -> str:
    media_type = members.get("mediaType") or default
    if media_type not in known:
        raise InvalidValue(f"media type {media_type!r}", kind="unsupported")
    return str(media_type)


def _platform(value: Any) -> Platform:
    members = an_object(value, "platform")
    return Platform(
        os=text(members, "os", "platform"),
        architecture=text(members, "architecture", "platform"),
        variant=a_text(members.get("variant") or "", "variant"),
    )


def _platform_members(platform: Platform) -> dict[str, str]:
    members = {"os": platform.os, "architecture": platform.architecture}
    return {**members, "variant": platform.variant} if platform.variant else members
