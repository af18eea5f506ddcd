"""A throwaway certificate authority and one server certificate, in memory and on disk. No server is touched here.

The authority's key is dropped as soon as it has signed, so that nothing else can ever be signed by it. Both
certificates are made by ``trustme``, which is imported only when one is asked for.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pg_ephemeral.errors import InvalidValue, ServerError
from pg_ephemeral.postgres import names

CA_FILE = "root.crt"
CERTIFICATE_FILE = "server.crt"
KEY_FILE = "server.key"

_ORGANIZATION = "pg-ephemeral"
_READABLE = 0o644
#: PostgreSQL refuses a key that others may read (manual, 18.9.1).
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What a server with TLS needs, and the authority its clients check it against, each as PEM text."""

    ca_pem: str
    cert_pem: str
    key_pem: str = field(repr=False)

    @classmethod
    def issue(cls, hostname: str) -> Certificates:
        """Make an authority and a certificate for ``hostname``, which becomes its subject alternative name.

        ``hostname`` is a host name or an IP address. Raises ``InvalidValue`` of the kinds of ``names.host``, and of
        kind ``invalid-label`` where it is no name by the rules of internationalised names (RFC 5891).
        """
        names.host(hostname)
        import trustme

        authority = trustme.CA(organization_name=_ORGANIZATION, organization_unit_name="pg-ephemeral CA", path_length=0)
        try:
            leaf = authority.issue_cert(
                hostname,
                common_name="pg-ephemeral server",
                organization_name=_ORGANIZATION,
                organization_unit_name="pg-ephemeral server",
            )
        except UnicodeError as error:
            raise InvalidValue(f"host name {hostname!r}: {error}", kind="invalid-label") from error
        return cls(
            ca_pem=authority.cert_pem.bytes().decode("ascii"),
            cert_pem=leaf.cert_chain_pems[0].bytes().decode("ascii"),
            key_pem=leaf.private_key_pem.bytes().decode("ascii"),
        )

    def write(self, directory: Path) -> None:
        """Write ``root.crt``, ``server.crt`` and ``server.key`` into an existing directory, the key for us alone.

        Files of these names are replaced, each at once. Raises ``ServerError`` naming the file that cannot be written.
        """
        _write(directory / CA_FILE, self.ca_pem, _READABLE)
        _write(directory / CERTIFICATE_FILE, self.cert_pem, _READABLE)
        _write(directory / KEY_FILE, self.key_pem, _PRIVATE)


def _write(path: Path, text: str, mode: int) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)
        # Created with its final mode: a key is at no moment open to others, and no link is followed.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise ServerError(f"cannot write {path}: {error.strerror or error}") from error
