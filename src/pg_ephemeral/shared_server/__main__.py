"""``python -P -m pg_ephemeral.shared_server DIRECTORY``: a holder, started by the first member of a run.

The definition comes on stdin. ``listening`` and the end of stdout say that there is somebody to connect to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pg_ephemeral.errors import PgEphemeralError
from pg_ephemeral.shared_server.holder import Holder
from pg_ephemeral.shared_server.messages import unpack
from pg_ephemeral.shared_server.place import ERRORS, Place


def main() -> int:
    """Listen, say so, and hold the server until nobody wants it any more."""
    os.umask(0o077)
    definition = unpack(sys.stdin.buffer.read())
    try:
        spot = Place(Path(sys.argv[1]))
    except PgEphemeralError as error:
        sys.stdout.write(error.message)
        return error.exit_code
    holder = Holder(definition, spot)
    # What seeds print, and what we should die of, is for the members to read.
    errors = os.open(spot.directory / ERRORS, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.dup2(errors, sys.stderr.fileno())
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, sys.stdout.fileno())
    holder.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
