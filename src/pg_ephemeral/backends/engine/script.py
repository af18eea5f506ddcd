"""The script of a ``container-script`` seed, run as root in a container whose server is stopped."""

from __future__ import annotations

import os
from pathlib import Path

from pg_ephemeral.backends.engine import commands
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.errors import SeedFailed
from pg_ephemeral.process import guarded, status_text

_ADDED_INIT_SCRIPT = 111

#: Reads variables, a line each, up to an empty line, and the script. That is run from a file, so that what it runs may
#: read its standard input, which is empty.
_RUNNER = f"""
umask 022
while IFS= read -r line && [ -n "$line" ]; do export "$line"; done
scripts() {{ ls -A /docker-entrypoint-initdb.d 2>/dev/null; }}
before=$(scripts)
script=$(mktemp) && cat >"$script" && sh -e "$script" </dev/null
status=$?
rm -f "$script"
if [ $status = 0 ] && [ "$before" != "$(scripts)" ]; then exit {_ADDED_INIT_SCRIPT}; fi
exit $status
"""


def run_script(client: EngineClient, container: str, script: str, *, seed: str, timeout: float | None = None) -> None:
    """Run it with the proxies of the engine, for ``timeout`` seconds at most; what it prints goes to our stderr.

    Raises ``SeedFailed`` and ``Overdue``; then nothing is known of the container, which is of no further use.
    """
    call = client.invocation(commands.execute(container, ("sh", "-c", _RUNNER), user="0:0", directory=Path("/")))
    proxies = client.dialect.proxies(os.environ).items()
    variables = "".join(f"{name}={value}\n" for name, value in proxies if "\n" not in value)
    status = guarded(call, stdin=[f"{variables}\n{script}".encode()], timeout=timeout)
    if status == _ADDED_INIT_SCRIPT:
        raise SeedFailed(
            f"seed {seed!r}: the script adds to /docker-entrypoint-initdb.d, which nothing will read any more",
            seed=seed,
            hint="the cluster is there already; make what was added a seed of its own",
        )
    if status != 0:
        raise SeedFailed(f"seed {seed!r}: the script failed in the container: {status_text(status)}", seed=seed)
