"""The OCI reference grammar as patterns, and the one way of refusing a text that does not fit; no types live here.

Every pattern is in the syntax of ``re`` and spells one production of the grammar that container engines and
registries share. The types built on them are in ``reference``.
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
    "matched",
    "repository_matched",
]

_DOMAIN_COMPONENT = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
_DOMAIN_NAME = rf"{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*"
_IPV6 = r"\[[0-9A-Fa-f:.]+\]"
_PORT = r"[0-9]+"
_HOST = rf"(?:{_IPV6}|{_DOMAIN_NAME})"
# What looks like a registry before the first slash: a port, an address, a dot, or the one word localhost.
_REGISTRY_DOMAIN = rf"(?:{_HOST}:{_PORT}|{_IPV6}|{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})+|localhost)"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:__|[_.]|-+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_NAME = rf"(?:(?P<domain>{_REGISTRY_DOMAIN})/)?(?P<path>{_PATH})"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*"
_HEX = r"[0-9A-Fa-f]{32,}"

DOMAIN_COMPONENT = re.compile(_DOMAIN_COMPONENT)
DOMAIN_NAME = re.compile(_DOMAIN_NAME)
IPV6 = re.compile(_IPV6)
PORT = re.compile(_PORT)
DOMAIN = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>{_PORT}))?")
REGISTRY_DOMAIN = re.compile(_REGISTRY_DOMAIN)
PATH_COMPONENT = re.compile(_PATH_COMPONENT)
PATH = re.compile(_PATH)
NAME = re.compile(_NAME)
TAG = re.compile(_TAG)
ALGORITHM = re.compile(_ALGORITHM)
HEX = re.compile(_HEX)
DIGEST = re.compile(rf"(?P<algorithm>{_ALGORITHM}):(?P<hex>{_HEX})")
REFERENCE = re.compile(rf"(?P<name>{_NAME})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{DIGEST.pattern}))?")
REGISTRY = re.compile(rf"(?P<domain>{_REGISTRY_DOMAIN})(?:/(?P<below>{_PATH}))?|(?P<path>{_PATH})")

_REPOSITORY_PART = re.compile(rf"((?:{_REGISTRY_DOMAIN}/)?)([^:@]*)(.*)", re.DOTALL)


def matched(what: str, pattern: re.Pattern[str], text: str, *, hint: str) -> re.Match[str]:
    """Match the whole of ``text``, or raise ``InvalidValue`` naming the part that cannot be read and where it begins.

    ``what`` is the type in the reader's words. Kinds: ``empty`` for no text at all, ``unparsed`` for a rest that
    does not fit. Characters are counted from 1.
    """
    match = pattern.fullmatch(text)
    if match:
        return match
    if not text:
        raise InvalidValue(f"empty {what}", kind="empty", hint=hint)
    start = pattern.match(text)
    at = start.end() if start else 0
    raise InvalidValue(f"{what} {text!r}: cannot read {text[at:]!r} at character {at + 1}", kind="unparsed", hint=hint)


def repository_matched(what: str, pattern: re.Pattern[str], text: str, *, hint: str) -> re.Match[str]:
    """As ``matched``, for texts that hold a repository: if only its case is wrong, the hint is the lower-case text.

    Kind ``upper-case``. The domain, the tag and the digest keep the case they were given in.
    """
    if not pattern.fullmatch(text):
        domain, repository, rest = _REPOSITORY_PART.fullmatch(text).groups()  # type: ignore[union-attr] # fits any text
        lower = f"{domain}{repository.lower()}{rest}"
        if lower != text and pattern.fullmatch(lower):
            raise InvalidValue(
                f"{what} {text!r}: a repository has no upper-case letters", kind="upper-case", hint=f"write {lower}"
            )
    return matched(what, pattern, text, hint=hint)
