"""The OCI reference grammar as patterns, and the one way of refusing a text that does not fit; no types live here.

Every pattern is a text in the syntax of ``re`` and spells one production of the grammar that container engines and
registries share. ``re`` compiles and keeps those that are used, which are few at a boot. The types built on them are in
``reference``.
"""

from __future__ import annotations

import re

from pg_ephemeral.errors import InvalidValue

__all__ = [
    "ALGORITHM",
    "DIGEST",
    "DOMAIN",
    "DOMAIN_COMPONENT",
    "DOMAIN_NAME",
    "HEX",
    "IPV6",
    "NAME",
    "PATH",
    "PATH_COMPONENT",
    "PORT",
    "REFERENCE",
    "REGISTRY",
    "REGISTRY_DOMAIN",
    "TAG",
    "is_registry",
    "matched",
    "repository_matched",
]

DOMAIN_COMPONENT = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
DOMAIN_NAME = rf"{DOMAIN_COMPONENT}(?:\.{DOMAIN_COMPONENT})*"
IPV6 = r"\[[0-9A-Fa-f:.]+\]"
PORT = r"[0-9]+"
_HOST = rf"(?:{IPV6}|{DOMAIN_NAME})"
DOMAIN = rf"(?P<host>{_HOST})(?::(?P<port>{PORT}))?"
# What looks like a registry before the first slash: a port, an address, a dot, or the one word localhost.
REGISTRY_DOMAIN = rf"(?:{_HOST}:{PORT}|{IPV6}|{DOMAIN_COMPONENT}(?:\.{DOMAIN_COMPONENT})+|localhost)"
PATH_COMPONENT = r"[a-z0-9]+(?:(?:__|[_.]|-+)[a-z0-9]+)*"
PATH = rf"{PATH_COMPONENT}(?:/{PATH_COMPONENT})*"
NAME = rf"(?:(?P<domain>{REGISTRY_DOMAIN})/)?(?P<path>{PATH})"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*"
HEX = r"[0-9A-Fa-f]{32,}"
DIGEST = rf"(?P<algorithm>{ALGORITHM}):(?P<hex>{HEX})"
REFERENCE = rf"(?P<name>{NAME})(?::(?P<tag>{TAG}))?(?:@(?P<digest>{DIGEST}))?"
REGISTRY = rf"(?P<domain>{REGISTRY_DOMAIN})(?:/(?P<below>{PATH}))?|(?P<path>{PATH})"

_REPOSITORY_PART = rf"((?:{REGISTRY_DOMAIN}/)?)([^:@]*)(.*)"


def is_registry(text: str) -> bool:
    """Whether this looks like a registry when a slash and a path follow: by ``REGISTRY_DOMAIN``."""
    if not any(mark in text for mark in ".:["):
        return text == "localhost"
    return re.fullmatch(REGISTRY_DOMAIN, text) is not None


def matched(what: str, pattern: str, text: str, *, hint: str) -> re.Match[str]:
    """Match the whole of ``text``, or raise ``InvalidValue`` naming the part that cannot be read and where it begins.

    ``what`` is the type in the reader's words. Kinds: ``empty`` for no text at all, ``unparsed`` for a rest that
    does not fit. Characters are counted from 1.
    """
    match = re.fullmatch(pattern, text)
    if match:
        return match
    if not text:
        raise InvalidValue(f"empty {what}", kind="empty", hint=hint)
    start = re.match(pattern, text)
    at = start.end() if start else 0
    raise InvalidValue(f"{what} {text!r}: cannot read {text[at:]!r} at character {at + 1}", kind="unparsed", hint=hint)


def repository_matched(what: str, pattern: str, text: str, *, hint: str) -> re.Match[str]:
    """As ``matched``, for texts that hold a repository: if only its case is wrong, the hint is the lower-case text.

    Kind ``upper-case``. The domain, the tag and the digest keep the case they were given in.
    """
    if not re.fullmatch(pattern, text):
        domain, repository, rest = re.fullmatch(_REPOSITORY_PART, text, re.DOTALL).groups()  # type: ignore[union-attr] # fits any text
        lower = f"{domain}{repository.lower()}{rest}"
        if lower != text and re.fullmatch(pattern, lower):
            raise InvalidValue(
                f"{what} {text!r}: a repository has no upper-case letters", kind="upper-case", hint=f"write {lower}"
            )
    return matched(what, pattern, text, hint=hint)
