"""Run a program of an image in a container of its own: no server, no seeds, the caller's directory and user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pg_ephemeral import terminal
from pg_ephemeral.backends.engine import binds, commands, owner
from pg_ephemeral.backends.engine.client import EngineClient
from pg_ephemeral.backends.runs import new_run
from pg_ephemeral.process import Invocation


@contextmanager
def image_program(
    client: EngineClient, image: str, argv: Sequence[str], *, runs: Path, user: str, directory: Path
) -> Iterator[Invocation]:
    """The program, ready to run on our terminal. Its container is gone after the block, and after us.

    It gets every variable of ours that starts with ``PG``. ``runs`` is where its run directory is made. Raises
    ``BackendError`` for a directory that cannot be shared.
    """
    here = binds.check(directory)
    run = new_run(runs)
    name = commands.container_name(run.path)
    try:
        yield client.invocation(
            commands.run_tool(
                image,
                argv,
                name=name,
                labels=owner.labels(),
                passed=[variable for variable in os.environ if variable.startswith("PG")],
                user=user,
                directory=here,
                tty=terminal.is_ours(),
            )
        )
    finally:
        # Interrupted, the engine's command may have ended before its container.
        run.end(done=client.remove_container(name))
