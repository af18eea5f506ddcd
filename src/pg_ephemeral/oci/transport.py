"""One HTTP exchange: connections, proxies, certificates and time limits. The only module that imports urllib3.

What goes wrong below HTTP becomes ``RegistryError`` here: ``tls``, ``down``, or ``unknown`` for what cannot be asked at
all. URLs are not repeated in messages, for those that registries redirect to carry signatures.
"""

from __future__ import annotations

import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci import certificates
from pg_ephemeral.oci.endpoint import is_local, resolved, without_secrets
from pg_ephemeral.oci.state import State
from pg_ephemeral.version import VERSION

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import BaseHTTPResponse

__all__ = ["Response", "Timeouts", "Transport", "is_no_http", "reason"]

_ERROR_LIMIT = 64 * 1024
_DRAIN_LIMIT = 4096
#: What is left of a body must come within so many seconds, or the connection is given up: nobody waits for it.
_DRAIN_TIME = 1.0
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
            connected = getattr(self._raw.connection, "sock", None)
            with suppress(RegistryError, OSError):
                if left and connected is not None:
                    connected.settimeout(_DRAIN_TIME)
                self.read()
        self._raw.close()
        self._raw.release_conn()


class Transport:
    """Connections to any number of hosts, used from any thread; ``close`` when done, or to end what is going on."""

    def __init__(self, *, timeouts: Timeouts, places: tuple[Path, ...]) -> None:
        self._timeouts = timeouts
        self._places = places
        self._guard = threading.Lock()
        self._managers: dict[tuple[str, str], PoolManager] = {}
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._closed = False

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
        from urllib3.exceptions import HTTPError, LocationValueError

        parts = resolved(url)
        if parts is None or not parts.hostname:
            raise _unreadable()
        host = parts.netloc.rpartition("@")[2]
        try:
            raw = self._manager(parts.scheme, host).request(
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
        except LocationValueError:
            # Its text has the whole URL.
            raise _unreadable() from None
        except (HTTPError, OSError, ValueError) as error:
            raise _trouble(error, host) from error
        return Response(raw, url, host)

    def close(self) -> None:
        """Close all connections, also under those who use them in other threads; nothing can be asked any more."""
        with self._guard:
            self._closed = True
            for connected in self._sockets:
                # The system's own, which wakes who waits in it; that of TLS would first say goodbye.
                with suppress(OSError):
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()

    def _manager(self, scheme: str, host: str) -> PoolManager:
        with self._guard:
            if self._closed:
                raise RegistryError(f"{host}: the connections were closed", state=State.UNKNOWN)
            if (scheme, host) not in self._managers:
                self._managers[scheme, host] = self._make(scheme, host)
            return self._managers[scheme, host]

    def _make(self, scheme: str, host: str) -> PoolManager:
        import urllib3

        settings: dict[str, Any] = {"maxsize": _CONNECTIONS, "blocksize": 256 * 1024}
        if scheme == "https":
            settings["ssl_context"] = certificates.context_for(host, self._places)
        proxy = _proxy(scheme, host)
        manager = urllib3.PoolManager(**settings) if proxy is None else _proxied(proxy, settings)
        manager.pool_classes_by_scheme = _tracking(self._opened)
        return manager

    def _opened(self, connected: socket.socket) -> None:
        with self._guard:
            self._sockets.add(connected)
            if self._closed:
                raise ConnectionAbortedError("the connections were closed")


def _proxied(proxy: str, settings: dict[str, Any]) -> PoolManager:
    import urllib3

    parts = urlsplit(proxy)
    headers = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=user)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(address, proxy_headers=headers, **settings)


def _tracking(opened: Callable[[socket.socket], None]) -> dict[str, Any]:
    """Pools of connections whose sockets are told to ``opened``; by scheme, as urllib3 wants them."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def is_no_http(error: BaseException) -> bool:
    """Whether the failure of a request in plain HTTP was an answer in another protocol."""
    from http.client import BadStatusLine, LineTooLong, RemoteDisconnected, UnknownProtocol

    bottom = reason(error)
    known = isinstance(bottom, (BadStatusLine, LineTooLong, UnknownProtocol))
    return known and not isinstance(bottom, RemoteDisconnected)


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
    if isinstance(bottom, ssl.SSLError) and not isinstance(bottom, ssl.SSLEOFError):
        words = (bottom.reason or str(bottom)).replace("_", " ").lower()
        return RegistryError(f"{host}: no TLS connection: {words}", state=State.TLS, hint="does it speak plain HTTP?")
    words = bottom.strerror if isinstance(bottom, OSError) and bottom.strerror else str(bottom) or type(bottom).__name__
    words = without_secrets(words)
    if isinstance(bottom, ValueError):
        return RegistryError(f"{host}: the registry cannot be asked: {words}", state=State.UNKNOWN)
    return RegistryError(f"{host}: the registry cannot be reached: {words}", state=State.DOWN)


def _unreadable() -> RegistryError:
    return RegistryError("the address that the registry gives cannot be read", state=State.UNKNOWN)
