"""``python -m pg_ephemeral.pytest_plugin.attach [--url] DIRECTORY DATABASE``: psql on what ``--pg-keep`` kept.

The password comes over the holder's socket, which is its user's alone. ``--url`` prints the connection URL, password
included, for other programs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from pg_ephemeral.errors import PgEphemeralError, ProcessError, ServerError
from pg_ephemeral.postgres.environment import client_environment
from pg_ephemeral.process import Invocation, foreground
from pg_ephemeral.shared_server import Member, visit


def main() -> int:
    """Connect, and run psql; return its status."""
    parser = argparse.ArgumentParser(prog="python -m pg_ephemeral.pytest_plugin.attach", description="Open a database.")
    parser.add_argument("--url", action="store_true", help="print the connection URL instead")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("database", metavar="DATABASE")
    arguments = parser.parse_args()
    try:
        member = visit(arguments.directory)
        if member is None:
            raise ServerError("the server is not kept any more", hint="run the test again with --pg-keep")
        return _open(member, arguments.database, url=arguments.url)
    except PgEphemeralError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code


def _open(member: Member, database: str, *, url: bool) -> int:
    try:
        conninfo = replace(member.facts.conninfo, database=database)
        if url:
            sys.stdout.write(f"{conninfo.url}\n")
            return 0
        environment = client_environment(conninfo, path_first=member.facts.programs)
        # The server's own, or, where that is in a container, this host's.
        psql = shutil.which("psql", path=environment.get("PATH"))
        if psql is None:
            raise ProcessError(
                "there is no psql on this host", hint="--url prints the connection URL for other programs"
            )
        return foreground(Invocation(argv=(psql,), env=environment))
    finally:
        member.close()


if __name__ == "__main__":
    sys.exit(main())
