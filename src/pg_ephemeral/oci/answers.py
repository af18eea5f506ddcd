"""What a registry's answer means: from status, error code and circumstances to a state. Pure.

The status is the signal; codes and messages differ from registry to registry, and some answers have no body at all
(distribution specification 1.1, error codes). Only where a status is ambiguous do words decide.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from msgspec import Struct

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.challenge import BASIC, Challenge
from pg_ephemeral.oci.endpoint import without_secrets
from pg_ephemeral.oci.state import State

__all__ = ["Answer", "Purpose", "classify", "error_for", "retry_seconds", "said"]

_MESSAGE_LIMIT = 300

#: A 403 whose message has one of these is about us, and not about whether something exists.
_ABOUT_US = ("expired", "is not authorized to perform", "permission_denied")
_MAY_NOT_EXIST = "may not exist"

#: What a registry says of a push whose parts do not fit each other.
_WRONG_CONTENT = frozenset({"BLOB_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "SIZE_INVALID"})

#: The upload is forgotten, by a registry that was started anew or consists of several; another one may go well.
_LOST_UPLOAD = frozenset({"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN"})

#: Beyond 5xx: request timeout, and what proxies say when a client or a server went away.
_PASSING_STATUSES = frozenset({408, 499})


class Purpose(Enum):
    """What was asked: for a token, to read, or to write."""

    TOKEN = "a token"  # noqa: S105 -- a word
    READ = "reading"
    WRITE = "writing"


class Answer(Struct, frozen=True, kw_only=True):
    """A registry's answer that is not what we wanted.

    ``writing``: it was to end in writing, also when a token was asked for. ``logged_in``: credentials were sent.
    ``code`` and ``message`` are its own words, empty when it had none.
    """

    status: int
    purpose: Purpose
    writing: bool = False
    logged_in: bool = False
    challenge: Challenge | None = None
    code: str = ""
    message: str = ""
    retry_after: float | None = None


def said(body: bytes) -> tuple[str, str]:
    """The code and the message of an error's body, in the forms that registries and token servers give them."""
    text = body.decode(errors="replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "", "" if "<" in text else _one_line(text)
    errors = value.get("errors") if isinstance(value, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else value
    if not isinstance(first, dict):
        return "", ""
    message = _first(first, "message", "details", "error_description", "error")
    return str(first.get("code") or ""), _one_line(message)


def retry_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Read ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3). None for no header, or a wrong one."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def classify(answer: Answer) -> State:
    """Sort an answer into its state."""
    if answer.status == 429 or answer.code == "TOOMANYREQUESTS":
        return State.RATE_LIMITED
    lost = answer.writing and answer.code in _LOST_UPLOAD
    if answer.status >= 500 or answer.status in _PASSING_STATUSES or lost:
        return State.DOWN
    if answer.writing and answer.code in _WRONG_CONTENT:
        return State.CORRUPT
    if answer.status == 404 and answer.purpose is not Purpose.TOKEN:
        return State.ABSENT
    if answer.status == 401:
        return _unauthorized(answer)
    if answer.status == 403:
        return _forbidden(answer)
    return State.UNKNOWN


def _unauthorized(answer: Answer) -> State:
    scoped = answer.challenge is not None and answer.challenge.scheme != BASIC
    if answer.purpose is Purpose.TOKEN or not scoped:
        return State.BAD_CREDENTIALS if answer.logged_in else State.NOT_LOGGED_IN
    # A token was given to us and does not do.
    return _refused(answer)


def _forbidden(answer: Answer) -> State:
    words = answer.message.lower()
    if any(word in words for word in _ABOUT_US) and _MAY_NOT_EXIST not in words:
        return State.DENIED
    return _refused(answer)


def _refused(answer: Answer) -> State:
    if answer.writing:
        return State.DENIED if answer.logged_in else State.NOT_LOGGED_IN
    return State.HIDDEN


def error_for(answer: Answer, what: str, registry: str) -> RegistryError:
    """Put an answer into words; ``what`` is the reference or repository, ``registry`` the host as users write it."""
    state = classify(answer)
    its_words = ": ".join(part for part in (answer.code, answer.message) if part) or f"status {answer.status}"
    return RegistryError(
        f"{what}: {_TEXTS[state]} ({its_words})",
        state=state,
        retry_after=answer.retry_after,
        hint=_hint(state, registry, answer),
    )


_TEXTS = {
    State.ABSENT: "not found in the registry",
    State.HIDDEN: "the registry has no such image, or does not let us see it",
    State.DENIED: "the registry denies access",
    State.NOT_LOGGED_IN: "the registry wants a login",
    State.BAD_CREDENTIALS: "the registry does not accept our credentials",
    State.RATE_LIMITED: "the registry asks for fewer requests",
    State.DOWN: "the registry is in trouble",
    State.CORRUPT: "the registry does not take what is pushed",
    State.UNKNOWN: "the registry gives an answer we do not know",
}


def _hint(state: State, registry: str, answer: Answer) -> str | None:
    if state is State.ABSENT:
        return "some registries want the repository to be made before the first push" if answer.writing else None
    login = f"docker login {registry}, or podman login {registry}"
    if state is State.HIDDEN:
        return f"nothing was pushed there yet, or it wants a login: {login}"
    if state in (State.NOT_LOGGED_IN, State.BAD_CREDENTIALS):
        return login
    if state is State.DENIED:
        return f"check what the credentials for {registry} may do, and whether they have expired"
    if state is State.RATE_LIMITED and answer.retry_after is not None:
        return f"again in {answer.retry_after:g} s"
    return None


def _first(members: dict[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := members.get(name), str) and value), "")


def _one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = without_secrets(" ".join(printable.split()))
    return line if len(line) <= _MESSAGE_LIMIT else line[:_MESSAGE_LIMIT] + "…"
