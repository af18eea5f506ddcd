"""The words of the ``image`` setting: which PostgreSQL to boot. Reading and rendering only, no look-ups.

A text without a slash speaks of the official image, by its tag (``17``, ``17.6-alpine3.22``, ``18rc1``, ``trixie``,
``latest``) or the way engines write it (``postgres``, ``postgres:17``)::

    image      = ["postgres:"] (latest | release | os) [digest]  |  "postgres" [digest]
    latest     = "latest" ["-" os]
    release    = major [("rc" | "beta") number | "." minor ["." patch]] ["-" os]
    os         = [a-z] [a-z0-9.]+
    digest     = "@sha256:" 64 hex digits

Numbers are at most 255; a patch number exists before PostgreSQL 10 only (``9.6.24``). A text with a slash is an OCI
reference, kept as it is, unless it names the official repository (``library/postgres:17``) by a tag of this grammar.

One image has one canonical text: ``17.06`` is ``17.6``, digests are lower case, ``latest-alpine`` is ``alpine`` (the
tag that exists). What cannot be read raises ``InvalidValue`` with the kind ``empty``, ``unparsed`` (a rest that does
not fit), ``upper-case``, ``out-of-range``, ``digest``, ``not-an-os`` or ``ambiguous``, or as ``oci.reference`` does.
"""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct, field

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.reference import Digest, Name, Reference, Tag

__all__ = ["ImageWord", "OfficialImage", "VersionRequest"]

_REPOSITORY = "docker.io/library/postgres"
_REPOSITORY_NAMES = frozenset({_REPOSITORY, "docker.io/postgres", "library/postgres"})
_SHORT_NAME = "postgres"
_NUMBER_MAXIMUM = 255
_LAST_MAJOR_WITH_PATCH = 9

_OS = r"[a-z][a-z0-9.]+"
# Patterns are compiled when they are first used: most boots read the default image alone.
_TAG = rf"""
(?: latest
  | (?P<major> (?P<old>0*[0-9](?![0-9])) | [0-9]+ )
    (?: (?P<stage>rc|beta)(?P<number>[0-9]+) | \.(?P<minor>[0-9]+) (?(old)(?:\.(?P<patch>[0-9]+))?) )?
)
(?: -(?P<suffix>{_OS}) )?
| (?P<os>{_OS})
"""
_PRERELEASE = r"(?:rc|beta)[1-9][0-9]*"
# Words that people write for a version; as the name of an operating system they would silently mean any version.
_NOT_AN_OS = r"(?:latest|pg|postgres(?:ql)?)[0-9.]*"
_DIGEST = r"sha256:[0-9A-Fa-f]{64}"

_HINT = (
    "write a version (17, 17.6, 18rc1), one with an operating system (17-alpine3.22), an operating system (trixie), "
    "latest, or a full reference (ghcr.io/owner/postgres:17)"
)
_DIGEST_HINT = "a digest is @sha256: and 64 hex digits"


class VersionRequest(Struct, frozen=True, kw_only=True):
    """The PostgreSQL version an image asks for; a part that is None may be anything, all None is any version.

    ``prerelease`` is ``rc1`` or ``beta2``, and None for a release. Before PostgreSQL 10 the first two numbers make the
    major version, so ``9.6.24`` is major 9, minor 6, patch 24. Numbers are 0 to 255.
    """

    major: int | None = None
    minor: int | None = None
    patch: int | None = None
    prerelease: str | None = None

    def __post_init__(self) -> None:
        for number in (self.major, self.minor, self.patch):
            if number is not None and not 0 <= number <= _NUMBER_MAXIMUM:
                raise InvalidValue(f"version number {number} is not within 0 to 255", kind="out-of-range", hint=_HINT)
        if self.prerelease is not None and not re.fullmatch(_PRERELEASE, self.prerelease):
            raise InvalidValue(f"{self.prerelease!r} is no pre-release", kind="unparsed", hint="write rc1 or beta1")
        below_nothing = self.major is None and (self.minor is not None or self.prerelease is not None)
        both = self.minor is not None and self.prerelease is not None
        lone_patch = self.patch is not None and (
            self.minor is None or self.major is None or self.major > _LAST_MAJOR_WITH_PATCH
        )
        if below_nothing or both or lone_patch:
            raise InvalidValue("a version without its leading number", kind="unparsed", hint=_HINT)

    @property
    def is_any(self) -> bool:
        """Whether every version fits."""
        return self.major is None

    def __str__(self) -> str:
        """Render as PostgreSQL writes it: ``17.6``, ``18rc1``, ``9.6.24``; ``latest`` for any."""
        if self.major is None:
            return "latest"
        numbers = ".".join(str(number) for number in (self.major, self.minor, self.patch) if number is not None)
        return f"{numbers}{self.prerelease or ''}"


class OfficialImage(Struct, frozen=True, kw_only=True):
    """An image of the official repository, by version, operating system and digest (SHA-256, in lower case)."""

    version: VersionRequest = field(default_factory=VersionRequest)
    operating_system: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        name = self.operating_system
        if name is not None and (not re.fullmatch(_OS, name) or re.fullmatch(_NOT_AN_OS, name)):
            hint = f"for a version write 17 or 17-trixie; {_SHORT_NAME} alone is the newest release"
            raise InvalidValue(f"{name!r} is no operating system name", kind="not-an-os", hint=hint)
        digest = str(self.digest or "")
        if digest and (not re.fullmatch(_DIGEST, digest) or digest != digest.lower()):
            raise InvalidValue(f"{digest!r} is no digest of an official image", kind="digest", hint=_DIGEST_HINT)

    @property
    def tag(self) -> Tag:
        """The tag in the official repository."""
        if self.operating_system is None:
            return Tag.parse(str(self.version))
        if self.version.is_any:
            return Tag.parse(self.operating_system)
        return Tag.parse(f"{self.version}-{self.operating_system}")

    @property
    def reference(self) -> Reference:
        """What an engine is asked for."""
        return Reference(name=Name.parse(_REPOSITORY), tag=self.tag, digest=self.digest)

    def __str__(self) -> str:
        return f"{self.tag}@{self.digest}" if self.digest else str(self.tag)


class ImageWord(Struct, frozen=True, kw_only=True):
    """The value of the ``image`` setting: an official image, or any other by its reference.

    ``str`` is the canonical text, and parses to an equal value.
    """

    source: OfficialImage | Reference

    def __post_init__(self) -> None:
        if isinstance(self.source, Reference) and _read(str(self.source)) != self.source:
            hint = "state the registry of another image; parse() recognises the official one"
            raise InvalidValue(f"{str(self.source)!r} names the official image", kind="ambiguous", hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the whole of ``text``, as it stands: nothing is trimmed."""
        return cls(source=_read(text))

    @property
    def official(self) -> bool:
        """Whether it is of the official repository."""
        return isinstance(self.source, OfficialImage)

    @property
    def reference(self) -> Reference:
        """What an engine is asked for: the official image in full, any other unchanged."""
        return self.source.reference if isinstance(self.source, OfficialImage) else self.source

    @property
    def version(self) -> VersionRequest | None:
        """The version asked for, or None where only the image knows: it is not an official one."""
        return self.source.version if isinstance(self.source, OfficialImage) else None

    def __str__(self) -> str:
        return str(self.source)


def _read(text: str) -> OfficialImage | Reference:
    if "/" in text:
        reference = Reference.parse(text)
        return _official_named(reference) or reference
    try:
        return _official(text)
    except InvalidValue as error:
        lower = text.lower()
        if error.kind != "unparsed" or lower == text or not _is_official(lower):
            raise
        raise InvalidValue(error.message, kind="upper-case", hint=f"write {lower}") from error


def _official_named(reference: Reference) -> OfficialImage | None:
    """Recognise the official repository spelt out. Its tags beyond the grammar stay references: they may exist."""
    if str(reference.name) not in _REPOSITORY_NAMES:
        return None
    digest = f"@{reference.digest}" if reference.digest else ""
    text = f"{reference.tag or 'latest'}{digest}"
    return _official(text) if _is_official(text) else None


def _is_official(text: str) -> bool:
    try:
        _official(text)
    except InvalidValue:
        return False
    return True


def _official(text: str) -> OfficialImage:
    if not text:
        raise InvalidValue("empty image", kind="empty", hint=_HINT)
    tag, at, digest = text.partition("@")
    if tag == _SHORT_NAME:
        return OfficialImage(digest=_digest(text, digest) if at else None)
    match = _tag_match(text, tag)
    version = VersionRequest(
        major=_number(text, match["major"], "major version"),
        minor=_number(text, match["minor"], "minor version"),
        patch=_number(text, match["patch"], "patch number"),
        prerelease=_prerelease(text, match["stage"], match["number"]),
    )
    return OfficialImage(
        version=version,
        operating_system=match["suffix"] or match["os"],
        digest=_digest(text, digest) if at else None,
    )


def _tag_match(text: str, tag: str) -> re.Match[str]:
    """Match the tag within ``text``; positions in the error are those of the whole text, from 1."""
    prefix = len(_SHORT_NAME) + 1 if tag.startswith(f"{_SHORT_NAME}:") else 0
    match = re.compile(_TAG, re.VERBOSE).match(tag, prefix)
    if match and match.end() == len(tag):
        return match
    if match:
        at, found = match.end(), f"cannot read {text[match.end() :]!r}"
    elif prefix and prefix == len(tag):
        at, found = prefix - 1, f"cannot read {text[prefix - 1 :]!r}"
    else:
        at, found = prefix, f"no version and no operating system name (lower case) in {text[prefix:]!r}"
    raise InvalidValue(f"image {text!r}: {found} at character {at + 1}", kind="unparsed", hint=_HINT)


def _number(text: str, digits: str | None, what: str, *, least: int = 0) -> int | None:
    if digits is None:
        return None
    significant = digits.lstrip("0") or "0"
    # Its length first: int() refuses very long texts with an error that is not ours.
    if len(significant) > len(str(_NUMBER_MAXIMUM)) or not least <= int(significant) <= _NUMBER_MAXIMUM:
        hint = f"numbers here are {least} to {_NUMBER_MAXIMUM}"
        raise InvalidValue(f"image {text!r}: {what} {digits} is out of range", kind="out-of-range", hint=hint)
    return int(significant)


def _prerelease(text: str, stage: str | None, digits: str | None) -> str | None:
    return stage and f"{stage}{_number(text, digits, f'{stage} number', least=1)}"


def _digest(text: str, digest: str) -> Digest:
    if re.fullmatch(_DIGEST, digest):
        return Digest.parse(digest.lower())
    at = len(text) - len(digest)
    algorithm = "sha256:"
    if not digest.startswith(algorithm):
        raise InvalidValue(
            f"image {text!r}: cannot read {text[at - 1 :]!r} at character {at}", kind="unparsed", hint=_DIGEST_HINT
        )
    at += len(algorithm)
    raise InvalidValue(
        f"image {text!r}: no 64 hex digits in {text[at:]!r} at character {at + 1}", kind="digest", hint=_DIGEST_HINT
    )
