"""``python -m pg_ephemeral``: the command line. Nothing else lives here."""

import sys

from pg_ephemeral.cli import main

if __name__ == "__main__":
    sys.exit(main())
