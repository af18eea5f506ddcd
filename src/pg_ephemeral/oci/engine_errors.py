"""What docker and podman print when a pull or a push fails, sorted into states: the last resort. Pure.

The engines keep a registry's status to themselves, and their words differ by engine, version and image store. Asking
the registry (``probe``) is better wherever it can be asked; this is for where it cannot.
"""

from __future__ import annotations

import re

from pg_ephemeral.oci.state import State

__all__ = ["classify", "complaint", "has_insisted"]

_Row = tuple[State, re.Pattern[str]]


def _rows(*rows: tuple[State, tuple[str, ...]]) -> tuple[_Row, ...]:
    return tuple((state, re.compile("|".join(patterns), re.MULTILINE)) for state, patterns in rows)


#: Of a push alone, before all others. A registry that gets one manifest from several at once may believe that it got
#: half of it, and one that consists of several may forget an upload.
_PUSHING = _rows(
    (State.CORRUPT, (r"digest invalid", r"manifest invalid")),
    (State.DOWN, (r"blob upload (?:unknown|invalid)",)),
)

#: Looked for in the whole text, for engines print warnings before and details after; the first row that fits counts.
_TABLE = _rows(
    # Not the registry's trouble at all: the message itself says it best.
    (State.UNKNOWN, (r"Cannot connect to the Docker daemon", r"[Ii]s the docker daemon running")),
    (
        State.RATE_LIMITED,
        (
            r"toomanyrequests",
            r"429 Too Many Requests",
            r"StatusCode: 429",
            r"HTTP 429 response body",
            r"too many requests to registry",
            r"status code from registry 429",
        ),
    ),
    (State.TLS, (r"x509:", r"server gave HTTP response to HTTPS client", r"\btls: ")),
    (
        State.DOWN,
        (
            r"dial tcp",
            r"no such host",
            r"connection refused",
            r"connection reset",
            r"i/o timeout",
            r"TLS handshake timeout",
            r"context deadline exceeded",
            r'": EOF$',
            r"unexpected HTTP status: 5",
            r"status code from registry 5\d\d",
            r"unexpected status code \S+: 5\d\d",
            r"(?:HEAD|GET|POST|PUT|PATCH) request to \S+ 5\d\d ",
            r"HTTP 5\d\d response body",
            r"StatusCode: 5\d\d",
        ),
    ),
    # Of a blob, which is part of what is there: no absence.
    (
        State.DENIED,
        (
            r"[Ff]etching blob: invalid status code from registry 403",
            r"download failed after attempts=\d+: (?:denied|error parsing HTTP 403)",
            r"failed to copy: .*: 403 Forbidden",
            r"reading blob \S+: (?:.*: )?(?:denied: |requested access to the resource is denied)",
        ),
    ),
    (
        State.NOT_LOGGED_IN,
        (
            r"[Ff]etching blob: invalid status code from registry 401",
            r"download failed after attempts=\d+: error parsing HTTP 401",
            r"failed to copy: .*: 401 Unauthorized",
        ),
    ),
    (
        State.CORRUPT,
        (
            r"unknown blob",
            r"blob unknown",
            r"failed to copy:",
            r"[Ff]etching blob: invalid status code from registry 404",
            r"reading manifest sha256:",
            r"filesystem layer verification failed",
            r"Digest did not match",
            # An index without this platform: something else was pushed under the tag.
            r"no matching manifest for ",
            r"no match for platform in manifest",
            r"no image found in (?:image index|manifest list)",
        ),
    ),
    (
        State.ABSENT,
        (
            r"manifest unknown",
            r'failed to resolve reference "[^"]*": \S+: not found',
            r"name unknown",
            r"unknown: (?:artifact|repository) \S+ not found",
            r"was deleted or has expired",
            r"HTTP 404 response body",
            r"unknown: <html>.*\b404\b",
            r"StatusCode: 404",
            r"no such manifest",
        ),
    ),
    (State.DENIED, (r"is not authorized to perform", r"authorization token has expired", r"permission_denied")),
    # Before the logins: podman 4 adds "authentication required" to it.
    (State.HIDDEN, (r"requested access to the resource is denied",)),
    (State.BAD_CREDENTIALS, (r"incorrect username or password", r"invalid username/password")),
    (
        State.NOT_LOGGED_IN,
        (
            r"no basic auth credentials",
            r"non TTY device",
            r"Login prior to pull",
            r'Head "[^"]*": unauthorized',
            r"error from registry: unauthorized",
            r"unauthorized:",
            r"authentication required",
            r"401 Unauthorized",
            r"failed to authorize: failed to fetch (?:oauth|anonymous) token",
        ),
    ),
    (
        State.HIDDEN,
        (
            r"access denied",
            r": denied",
            r"denied: ",
            r"^denied$",
            r"403 Forbidden",
            r"403 \(Forbidden\)",
            r"HTTP 403 response body",
            r"error from registry: ",
        ),
    ),
    # Whatever else it is with a part of what is there.
    (State.CORRUPT, (r"reading blob", r"[Ff]etching blob")),
)

#: What is printed on the way to a complaint: progress, and warnings.
_ON_THE_WAY = re.compile(
    r'time="|WARN|Emulate Docker CLI|Trying to pull|Getting image source|Copying |Writing manifest|Storing signatures'
)
_LONGEST = 500

_INSISTED = re.compile(r"failed after attempts=(?:[2-9]|\d\d)|retrying in ")


def classify(text: str, *, pushing: bool = False) -> State:
    """Sort what an engine printed on stderr (with ``LC_ALL=C``) into a state; ``unknown`` when nothing fits.

    When ``pushing``, what cannot be told from absence is a denial.
    """
    for state, pattern in (*(_PUSHING if pushing else ()), *_TABLE):
        if pattern.search(text):
            return State.DENIED if pushing and state is State.HIDDEN else state
    return State.UNKNOWN


def complaint(text: str) -> str:
    """What an engine complains of, on one line: all of it, for the first line or the last may say little alone."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _ON_THE_WAY.match(line.strip())]
    begun = [index for index, line in enumerate(lines) if line.startswith("Error")]
    said = "; ".join(lines[begun[-1] :] if begun else lines).replace("errors:; ", "errors: ")
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def has_insisted(text: str) -> bool:
    """Whether the engine says that it has tried several times, which it does for a minute and more."""
    return _INSISTED.search(text) is not None
