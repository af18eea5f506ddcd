"""Where the server in a container listens, and where it is reached from here."""

from __future__ import annotations

from pg_ephemeral.backends.engine import commands
from pg_ephemeral.backends.engine.address import Address
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.errors import ServerError
from pg_ephemeral.postgres import ports
from pg_ephemeral.postgres.conninfo import NetworkEndpoint
from pg_ephemeral.postgres.server_settings import LOOPBACK

#: Where a server listens that has a network of its own.
_PORT = 5432


class Reach:
    """Of one container. ``shares_network``: it has this host's; its port is then one of this host's, too."""

    def __init__(self, client: EngineClient, name: str, address: Address, *, shares_network: bool) -> None:
        self.address = address
        self.shares_network = shares_network
        self._client = client
        self._name = name
        self._port: int | None = None

    def choose_port(self) -> int | None:
        """Another port for the next start, if that is ours to choose; None leaves the usual one."""
        if self.shares_network:
            self._port = ports.free_port()
        return self.inside_port

    @property
    def inside_port(self) -> int | None:
        """In the name of the server's socket, if it is not the usual one."""
        return self._port if self.shares_network else None

    def settings(self) -> dict[str, str]:
        """The server's parameters of this."""
        if self.shares_network:
            return {"listen_addresses": LOOPBACK, "port": str(self._port)}
        return {"listen_addresses": "*", "port": str(_PORT)}

    def endpoint(self, tls: str | None) -> NetworkEndpoint:
        """For callers on this host; ``tls`` is the name in the server's certificate.

        Raises ``ServerError`` and ``BackendError``.
        """
        host, port = self._place()
        if tls is None:
            return NetworkEndpoint(host=host, port=port)
        return NetworkEndpoint(host=tls, port=port, host_addr=host)

    def published_port(self) -> int:
        """On the engine's host. Raises ``ServerError`` and ``BackendError``."""
        if self._port is None:
            self._port = commands.read_port(self._client.call(("port", self._name, commands.PORT)))
        if self._port is None:
            raise ServerError(f"container {self._name} publishes no port")
        return self._port

    def own_address(self) -> str:
        """On the engine's own network. Raises ``ServerError`` and ``BackendError``."""
        form = "{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}"
        found = self._client.call(("container", "inspect", "--format", form, self._name)).decode().split()
        if not found:
            raise ServerError(f"container {self._name} has no address")
        return found[0]

    def _place(self) -> tuple[str, int]:
        if self.shares_network and self._port is not None:
            return LOOPBACK, self._port
        if self.address.connect is None:
            return self.own_address(), _PORT
        return self.address.connect, self.published_port()
