"""Authorization for one registry: basic credentials, or bearer tokens by scope, kept until they run out.

The token protocol of registries: a 401 names a realm, a service and scopes; the realm gives a token for them, to nobody
in particular or to a user, whose credentials go nowhere else.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.answers import Answer, Purpose, error_for, retry_seconds, said
from pg_ephemeral.oci.challenge import BASIC, Challenge
from pg_ephemeral.oci.credentials import Credential
from pg_ephemeral.oci.endpoint import is_local, origin, place, resolved
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.transport import Response, Transport

__all__ = ["Authorization", "Scopes", "trusted_realm"]

#: What a request needs, as ``repository:<path>:<actions>``, in the order that is sent.
Scopes = tuple[str, ...]

_DEFAULT_LIFE = 60.0
_MARGIN = 10.0
_CLIENT = "pg-ephemeral"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    header: str = field(repr=False)
    ends: float


class Authorization:
    """What goes into ``Authorization`` for one registry at ``base``; used from any thread.

    ``find`` gives the credentials, and is asked only once the registry wants to know who we are.
    """

    def __init__(
        self, *, base: str, registry: str, find: Callable[[], Credential | None], transport: Transport
    ) -> None:
        self._base = base
        self._registry = registry
        self._find = find
        self._transport = transport
        self._guard = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._credential: Credential | None = None
        self._looked = False

    @property
    def logged_in(self) -> bool:
        """Whether credentials are sent."""
        return self._credential is not None

    def header(self, scopes: Scopes, what: str, *, writing: bool) -> str | None:
        """What to send with a request; None as long as the registry has not asked, or when we are nobody."""
        with self._guard:
            if self._challenge is None:
                return None
            if self._challenge.scheme == BASIC:
                return _basic(self._credential) if self._credential is not None else None
            token = self._tokens.get(scopes)
            if token is None or token.ends - _MARGIN < time.monotonic():
                token = self._tokens[scopes] = self._fetch(scopes, what, writing=writing)
            return token.header

    def challenged(self, challenge: Challenge, scopes: Scopes, sent: str | None) -> Scopes | None:
        """The registry refused ``sent``: the scopes to try again with, or None when that is of no use."""
        with self._guard:
            if not self._looked:
                self._credential, self._looked = self._find(), True
            known, self._challenge = self._challenge, challenge
            if challenge.scheme == BASIC:
                return scopes if sent is None and self._credential is not None else None
            if known is not None and known.scheme != BASIC and _realm(known) != _realm(challenge):
                self._tokens.clear()
            # What it names comes first, for some token servers read no further.
            wanted = tuple(dict.fromkeys((*challenge.scopes, *scopes)))
            refused = self._tokens.get(wanted)
            if refused is not None and refused.header == sent:
                del self._tokens[wanted]
            return wanted

    def _fetch(self, scopes: Scopes, what: str, *, writing: bool) -> _Token:
        assert self._challenge is not None  # noqa: S101 -- the caller looked
        realm = self._challenge.parameters["realm"]
        if not trusted_realm(realm, self._base):
            parts = resolved(realm)
            raise RegistryError(
                f"{self._registry}: it sends us for a token to a place that it has no business with",
                state=State.UNKNOWN,
                hint=f"the place is {place(parts)}" if parts is not None else "its address cannot be read",
            )
        begun = time.monotonic()
        response = self._ask(realm, self._challenge.parameters.get("service", ""), scopes)
        body = response.read_limited()
        if response.status != 200:
            code, message = said(body)
            answer = Answer(
                status=response.status,
                purpose=Purpose.TOKEN,
                writing=writing,
                logged_in=self.logged_in,
                code=code,
                message=message,
                retry_after=retry_seconds(response.header("Retry-After")),
            )
            raise error_for(answer, what, self._registry)
        return _read(body, begun, self._registry)

    def _ask(self, realm: str, service: str, scopes: Scopes) -> Response:
        pairs = [("service", service), *(("scope", scope) for scope in scopes)] if service else []
        pairs = pairs or [("scope", scope) for scope in scopes]
        credential = self._credential
        if credential is not None and credential.identity_token:
            form = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", _CLIENT),
                ("refresh_token", credential.identity_token),
                ("scope", " ".join(scopes)),
            ]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._transport.exchange("POST", realm, headers=headers, body=urlencode(form).encode())
        headers = {} if credential is None else {"Authorization": _basic(credential)}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(pairs)}" if pairs else realm
        return self._transport.exchange("GET", url, headers=headers)


def trusted_realm(realm: str, base: str) -> bool:
    """Whether credentials for the registry at ``base`` may go to ``realm``.

    It must be no weaker than the registry (no plain HTTP from HTTPS), and not on this machine unless the registry is.
    """
    ours, theirs = urlsplit(base), resolved(realm)
    if theirs is None or theirs.scheme not in ("http", "https") or not theirs.hostname:
        return False
    if ours.scheme == "https" and theirs.scheme != "https":
        return False
    return is_local(ours.hostname or "") or not is_local(theirs.hostname)


def _realm(challenge: Challenge) -> tuple[str, str, int | None] | None:
    parts = resolved(challenge.parameters["realm"])
    return None if parts is None else origin(parts)


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _read(body: bytes, begun: float, registry: str) -> _Token:
    try:
        answer = json.loads(body)
        token = answer.get("token") or answer.get("access_token")
        life = float(answer.get("expires_in") or _DEFAULT_LIFE)
    except (ValueError, TypeError, AttributeError):
        token, life = None, 0.0
    if not isinstance(token, str) or not token or not token.isprintable():
        raise RegistryError(f"{registry}: its token server gave no token", state=State.UNKNOWN)
    return _Token(header=f"Bearer {token}", ends=begun + life)
