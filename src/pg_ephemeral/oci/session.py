"""Speaking to one registry: the scheme, who we are, redirects, and what its refusals mean. A request is tried once."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.answers import Answer, Purpose, error_for, retry_seconds, said
from pg_ephemeral.oci.challenge import Challenge, choose
from pg_ephemeral.oci.credentials import Keychain
from pg_ephemeral.oci.endpoint import api_host, is_local, is_loopback, origin, place, registry_of, resolved
from pg_ephemeral.oci.reference import Domain, Name
from pg_ephemeral.oci.state import State
from pg_ephemeral.oci.tokens import Authorization, Scopes
from pg_ephemeral.oci.transport import Response, Transport, is_no_http, reason

__all__ = ["Ask", "Session"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request: ``url`` is absolute, or a path below ``/v2/``; ``what`` is what errors call the thing asked for.

    ``accept`` are the statuses that are answers; all others become errors.
    """

    method: str
    url: str
    what: str
    scopes: Scopes
    writing: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] | None = None
    accept: Collection[int] = (200,)


class Session:
    """One registry, for one repository's credentials; used from any thread."""

    def __init__(self, repository: Name, *, keychain: Keychain, transport: Transport, insecure: bool) -> None:
        self.registry = registry_of(repository)
        self._repository = repository
        self._keychain = keychain
        self._transport = transport
        self._insecure = insecure
        self._guard = threading.Lock()
        self._found: tuple[str, Authorization] | None = None

    @property
    def logged_in(self) -> bool:
        """Whether the registry asked who we are, and we had credentials to send."""
        return self._found is not None and self._found[1].logged_in

    def ask(self, request: Ask) -> Response:
        """Send it, as whoever we are; follow redirects. Raises ``RegistryError`` for an unwanted answer."""
        base, authorization = self._place()
        url = urljoin(f"{base}/v2/", request.url)
        scopes, challenge = request.scopes, None
        for final in (False, True):
            ours = origin(url) == origin(base)
            header = authorization.header(scopes, request.what, writing=request.writing) if ours else None
            response = self._follow(request, url, header)
            if response.status in request.accept:
                return response
            challenge = choose(response.headers("WWW-Authenticate")) if response.status == 401 and ours else None
            if final or challenge is None or not _rewindable(request):
                break
            again = authorization.challenged(challenge, scopes, header)
            if again is None:
                break
            response.close()
            scopes = again
        raise self._refusal(request, response, challenge, logged_in=authorization.logged_in)

    def _follow(self, request: Ask, url: str, header: str | None) -> Response:
        """Send, and go where we are sent; what proves who we are stays with the registry."""
        home = origin(url)
        for _ in range(_MOST_REDIRECTS):
            headers = dict(request.headers)
            if header is not None and origin(url) == home:
                headers["Authorization"] = header
            response = self._transport.exchange(request.method, url, headers=headers, body=request.body)
            target = response.header("Location")
            if response.status not in _REDIRECTS or response.status in request.accept or not target:
                return response
            response.close()
            if request.body is not None:
                raise RegistryError(f"{request.what}: {self.registry} redirects an upload", state=State.UNKNOWN)
            url = self.elsewhere(url, target, request.what)
        raise RegistryError(f"{request.what}: {self.registry} redirects without end", state=State.UNKNOWN)

    def elsewhere(self, url: str, location: str, what: str) -> str:
        """Where ``location``, given in an answer to ``url``, leads. Raises ``RegistryError`` if we do not go there."""
        here, there = urlsplit(url), resolved(url, location)
        if there is None:
            raise RegistryError(
                f"{what}: {self.registry} sends us to an address that cannot be read", state=State.UNKNOWN
            )
        if there.netloc == here.netloc:
            # Behind a proxy that adds TLS, some registries believe that they are spoken to in plain HTTP.
            return there._replace(scheme=here.scheme).geturl()
        weaker = here.scheme == "https" and there.scheme != "https" and not self._insecure
        inward = is_local(there.hostname or "") and not is_local(here.hostname or "")
        if weaker or inward or there.scheme not in ("http", "https"):
            raise RegistryError(
                f"{what}: {self.registry} sends us to {place(there)}, where we do not go", state=State.UNKNOWN
            )
        return there.geturl()

    def _refusal(
        self, request: Ask, response: Response, challenge: Challenge | None, *, logged_in: bool
    ) -> RegistryError:
        retry_after = retry_seconds(response.header("Retry-After"))
        code, message = said(response.read_limited())
        answer = Answer(
            status=response.status,
            purpose=Purpose.WRITE if request.writing else Purpose.READ,
            writing=request.writing,
            logged_in=logged_in,
            challenge=challenge,
            code=code,
            message=message,
            retry_after=retry_after,
        )
        return error_for(answer, request.what, self.registry)

    def _place(self) -> tuple[str, Authorization]:
        with self._guard:
            if self._found is None:
                base = self._base()
                authorization = Authorization(
                    base=base,
                    registry=self.registry,
                    find=lambda: self._keychain(self._repository),
                    transport=self._transport,
                )
                self._found = base, authorization
            return self._found

    def _base(self) -> str:
        """The scheme and host; plain HTTP only where it may be, and where TLS is not spoken."""
        host = api_host(self.registry)
        if is_loopback(self.registry):
            return f"{'http' if self._speaks_http(host) else 'https'}://{host}"
        return f"{'https' if not self._insecure or self._speaks_tls(host) else 'http'}://{host}"

    def _speaks_http(self, host: str) -> bool:
        # Asked first on this machine, where nobody listens in: who expects TLS refuses it at once, while some of those
        # who do not expect it wait for more of what they take for a line of text.
        try:
            response = self._transport.exchange("GET", f"http://{host}/v2/", headers={})
        except RegistryError as error:
            if not is_no_http(error) and (_tells_nothing(host, error) or not self._answers_tls(host)):
                raise
            return False
        response.close()
        return response.status != 400

    def _answers_tls(self, host: str) -> bool:
        """Whether TLS is spoken there, trusted or not."""
        try:
            self._transport.exchange("GET", f"https://{host}/v2/", headers={}).close()
        except RegistryError as error:
            return isinstance(reason(error), ssl.SSLCertVerificationError)
        return True

    def _speaks_tls(self, host: str) -> bool:
        try:
            self._transport.exchange("GET", f"https://{host}/v2/", headers={}).close()
        except RegistryError as error:
            if error.state == State.TLS:
                return isinstance(reason(error), ssl.SSLCertVerificationError)
            if _refused(host, error) or not self._answers_http(host):
                raise
            return False
        return True

    def _answers_http(self, host: str) -> bool:
        try:
            response = self._transport.exchange("GET", f"http://{host}/v2/", headers={})
        except RegistryError:
            return False
        response.close()
        return response.status != 400


def _tells_nothing(host: str, error: RegistryError) -> bool:
    """Whether what they speak there may be found out only when they are back, or answer at all."""
    return _refused(host, error) or isinstance(reason(error), TimeoutError)


def _refused(host: str, error: RegistryError) -> bool:
    """Nobody is there, on the one port it can be."""
    return isinstance(reason(error), ConnectionRefusedError) and Domain.parse(host).port is not None


def _rewindable(request: Ask) -> bool:
    return request.body is None or isinstance(request.body, bytes)
