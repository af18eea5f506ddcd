"""The environment of client programs: the caller's, without a trace of libpq, plus one server's own variables.

A variable such as ``PGSERVICE`` or ``PGHOSTADDR`` that happens to be set would send a seed to another server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pg_ephemeral.postgres.conninfo import Conninfo

#: PostgreSQL manual, "Environment Variables" (libpq), with those of older majors and of psql that lead elsewhere.
LIBPQ_VARIABLES = frozenset(
    f"PG{name}"
    for name in (  # noqa: SIM905 -- a list of sixty strings would hide the names
        "APPNAME CHANNELBINDING CLIENTENCODING CONNECT_TIMEOUT DATABASE DATESTYLE GEQO GSSDELEGATION GSSENCMODE GSSLIB "
        "HOST HOSTADDR KRBSRVNAME LOADBALANCEHOSTS LOCALEDIR MAXPROTOCOLVERSION MINPROTOCOLVERSION OPTIONS PASSFILE "
        "PASSWORD PORT REALM REQUIREAUTH REQUIREPEER REQUIRESSL SERVICE SERVICEFILE SSLCERT SSLCERTMODE SSLCOMPRESSION "
        "SSLCRL SSLCRLDIR SSLKEY SSLKEYLOGFILE SSLMAXPROTOCOLVERSION SSLMINPROTOCOLVERSION SSLMODE SSLNEGOTIATION "
        "SSLROOTCERT SSLSNI SYSCONFDIR TARGETSESSIONATTRS TZ USER"
    ).split()
)

URL_VARIABLE = "DATABASE_URL"


def without_libpq(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy without any variable that could name a server, or change how one is spoken to."""
    return {name: value for name, value in environment.items() if name not in LIBPQ_VARIABLES and name != URL_VARIABLE}


def client_environment(
    conninfo: Conninfo, *, base: Mapping[str, str] = os.environ, path_first: Path | None = None
) -> dict[str, str]:
    """The whole environment of a program that is to talk to this server, with ``DATABASE_URL``.

    ``path_first`` comes first on its ``PATH``.
    """
    environment = without_libpq(base) | conninfo.env() | {URL_VARIABLE: conninfo.url}
    if path_first is not None:
        environment["PATH"] = os.pathsep.join(filter(None, (str(path_first), base.get("PATH", os.defpath))))
    return environment
