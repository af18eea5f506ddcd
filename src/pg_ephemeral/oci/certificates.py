"""Whom we trust: the system's authorities, and those that docker and podman are given for one registry."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pg_ephemeral.errors import RegistryError
from pg_ephemeral.oci.state import State

__all__ = ["context_for", "directories"]


def directories(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The ``certs.d`` directories of docker and podman, with a directory per registry below each."""
    variables = os.environ if environment is None else environment
    home = Path(variables["HOME"]) if variables.get("HOME") else Path.home()
    configuration = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    return (
        Path("/etc/docker/certs.d"),
        Path("/etc/containers/certs.d"),
        configuration / "containers" / "certs.d",
        configuration / "docker" / "certs.d",
        home / ".docker" / "certs.d",
    )


def context_for(host: str, places: Sequence[Path]) -> ssl.SSLContext:
    """A context that trusts the system's authorities and, for ``host[:port]``, those in ``<place>/<host>/*.crt``.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace the system's, as OpenSSL has it. A ``*.cert`` beside its ``*.key``
    is our own certificate. Raises ``RegistryError`` naming the file that cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As before Python 3.13, and as the engines: a company's own authority often lacks an extension that RFC 5280 wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for place in places:
        directory = place / host
        # The directories of others may be closed to us; those are not for us.
        if not os.access(directory, os.R_OK | os.X_OK):
            continue
        for authority in sorted(directory.glob("*.crt")):
            with _using(authority):
                context.load_verify_locations(cafile=authority)
        for certificate in sorted(directory.glob("*.cert")):
            with _using(certificate):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


@contextmanager
def _using(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise RegistryError(f"cannot use the certificate {path}: {reason}", state=State.TLS) from error
