"""One HTTP exchange: connections, proxies, certificates and time limits. The only module that imports urllib3.

What goes wrong below HTTP becomes ``RegistryError`` here: ``tls``, or ``down``. URLs are not repeated in messages, for
those that registries redirect to carry signatures.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci import certificates
from pg_ephemeral.oci.endpoint import is_local
from pg_ephemeral.oci.state import State
from pg_ephemeral.version import VERSION

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import BaseHTTPResponse

__all__ = ["Response", "Timeouts", "Transport", "reason"]

_ERROR_LIMIT = 64 * 1024
_DRAIN_LIMIT = 4096
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: for a connection to be made, and for the next bytes to come or to go."""

    connect: float = 10.0
    idle: float = 60.0


class Response:
    """An answer whose body has not been read; it must be closed, or read to its end."""

    def __init__(self, raw: BaseHTTPResponse, url: str, host: str) -> None:
        self._raw = raw
        self._host = host
        self.url = url
        self.status = raw.status

    def header(self, name: str) -> str | None:
        """A header's value; None without it."""
        return self._raw.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """All values of a header that may be given several times."""
        return self._raw.headers.getlist(name)

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes of the body, whatever has come; all of it below 0. Raises ``RegistryError``."""
        from urllib3.exceptions import HTTPError

        try:
            return self._raw.read() if size < 0 else self._raw.read1(size)
        except (HTTPError, OSError) as error:
            raise _trouble(error, self._host) from error

    def read_limited(self, limit: int = _ERROR_LIMIT) -> bytes:
        """Read a small body, no more than ``limit`` bytes of it, and close."""
        body = bytearray()
        try:
            while len(body) < limit and (piece := self.read(limit - len(body))):
                body += piece
        finally:
            self.close()
        return bytes(body)

    def close(self) -> None:
        """Be done with it. The connection is kept when next to nothing is left to read."""
        left = self._raw.length_remaining
        if left is not None and left <= _DRAIN_LIMIT:
            with suppress(RegistryError):
                self.read()
        self._raw.close()
        self._raw.release_conn()


class Transport:
    """Connections to any number of hosts, used from any thread; ``close`` when done."""

    def __init__(self, *, timeouts: Timeouts, places: tuple[Path, ...]) -> None:
        self._timeouts = timeouts
        self._places = places
        self._guard = threading.Lock()
        self._managers: dict[tuple[str, str], PoolManager] = {}

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Send one request and give the answer, whatever its status; a redirect is not followed."""
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        parts = urlsplit(url)
        try:
            raw = self._manager(parts.scheme, parts.netloc).request(
                method,
                url,
                headers={"User-Agent": f"pg-ephemeral/{VERSION}", "Accept-Encoding": "identity", **headers},
                body=body,
                timeout=Timeout(connect=self._timeouts.connect, read=self._timeouts.idle),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise _trouble(error, parts.netloc) from error
        return Response(raw, url, parts.netloc)

    def close(self) -> None:
        """Close all connections that are not in use."""
        with self._guard:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()

    def _manager(self, scheme: str, netloc: str) -> PoolManager:
        with self._guard:
            if (scheme, netloc) not in self._managers:
                self._managers[scheme, netloc] = self._make(scheme, netloc)
            return self._managers[scheme, netloc]

    def _make(self, scheme: str, netloc: str) -> PoolManager:
        import urllib3

        settings: dict[str, Any] = {"maxsize": _CONNECTIONS, "blocksize": 256 * 1024}
        if scheme == "https":
            settings["ssl_context"] = certificates.context_for(netloc, self._places)
        proxy = _proxy(scheme, netloc)
        if proxy is None:
            return urllib3.PoolManager(**settings)
        parts = urlsplit(proxy)
        headers = None
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = urllib3.make_headers(proxy_basic_auth=user)
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return urllib3.ProxyManager(address, proxy_headers=headers, **settings)


def reason(error: BaseException) -> BaseException:
    """The error at the bottom: urllib3 wraps what the system and OpenSSL say, as a cause or as an argument."""
    while True:
        wrapped = (getattr(error, "reason", None), error.__cause__, *error.args)
        below = next((one for one in wrapped if isinstance(one, BaseException)), None)
        if below is None:
            return error
        error = below


def _proxy(scheme: str, netloc: str) -> str | None:
    """The proxy of the environment for this host; None for none, and always for hosts of this machine."""
    from urllib.request import getproxies, proxy_bypass

    if is_local(urlsplit(f"//{netloc}").hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _trouble(error: BaseException, host: str) -> RegistryError:
    """Map what happened below HTTP."""
    bottom = reason(error)
    if isinstance(bottom, ssl.SSLCertVerificationError):
        return RegistryError(
            f"{host}: its certificate is not trusted: {bottom.verify_message}",
            state=State.TLS,
            hint=f"put its authority into /etc/docker/certs.d/{host}/ca.crt, or name it in SSL_CERT_FILE",
        )
    if isinstance(bottom, ssl.SSLError):
        words = (bottom.reason or str(bottom)).replace("_", " ").lower()
        return RegistryError(f"{host}: no TLS connection: {words}", state=State.TLS, hint="does it speak plain HTTP?")
    words = bottom.strerror if isinstance(bottom, OSError) and bottom.strerror else str(bottom) or type(bottom).__name__
    return RegistryError(f"{host}: the registry cannot be reached: {words}", state=State.DOWN)
