"""Make a new cluster: initdb(1) with everything fixed that it would take from the machine.

So that a data directory may move between machines and its key may leave the machine out: UTF-8, a locale whose rules
are PostgreSQL's own, UTC, the text search configuration of the official image, 1 MB WAL segments, no checksums.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pg_ephemeral.errors import ServerError
from pg_ephemeral.paths import unusable
from pg_ephemeral.postgres.account import Account
from pg_ephemeral.postgres.binaries import Installation, Version
from pg_ephemeral.process import Completed, Invocation, capture, spawn

#: The first major with the builtin locale provider.
_BUILTIN_LOCALE_MAJOR = 17
#: The first major that makes checksums by default; they double what the first reader of a page writes.
_CHECKSUMS_DEFAULT_MAJOR = 18

_CONFIGURATION = """\
# Written by pg-ephemeral, which gives its settings on the server's command line. ALTER SYSTEM works as usual.
datestyle = 'iso, mdy'
timezone = 'Etc/UTC'
log_timezone = 'Etc/UTC'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.english'
"""

# Not used by our servers, which have access rules of their own; here for whoever boots the directory by other means.
_ACCESS = """\
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""


def options(version: Version, *, superuser: str) -> tuple[str, ...]:
    """The options of initdb for this version; with the installation's version they decide what stage 0 is."""
    argv = [f"--username={superuser}", "--auth=trust", "--encoding=UTF8", "--no-sync", "--wal-segsize=1"]
    argv.append("--locale=C")
    if version.major >= _BUILTIN_LOCALE_MAJOR:
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if version.major >= _CHECKSUMS_DEFAULT_MAJOR:
        argv.append("--no-data-checksums")
    return tuple(argv)


def initialise(installation: Installation, account: Account, data: Path, *, superuser: str) -> None:
    """Make a new cluster in ``data``, which must not exist. Raises ``ServerError`` with initdb's own words."""
    argv = (
        *account.prefix,
        installation.program("initdb"),
        f"--pgdata={data}",
        *options(installation.version, superuser=superuser),
    )
    done = _run(account, Invocation(argv=argv, env=server_environment(), cwd=Path("/")))
    if done.status != 0:
        raise ServerError(
            f"initdb of PostgreSQL {installation.version.text} failed with status {done.status}", detail=done.message
        )
    try:
        (data / "postgresql.conf").write_text(_CONFIGURATION)
        (data / "pg_hba.conf").write_text(_ACCESS)
    except OSError as error:
        raise unusable(data, error) from error


def server_environment() -> dict[str, str]:
    """The environment of server programs: nothing of the caller's that could change what they do."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC"}


def _run(account: Account, invocation: Invocation) -> Completed:
    if not account.foreign:
        return capture(invocation)
    with tempfile.TemporaryFile() as errors:
        child = spawn(invocation, user=account.uid, group=account.gid, stderr=errors)
        stdout, _ = child.communicate()
        errors.seek(0)
        return Completed(status=child.returncode, stdout=stdout, stderr=errors.read())
