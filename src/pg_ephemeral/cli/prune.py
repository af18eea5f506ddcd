"""``prune``: remove what killed runs left behind."""

from __future__ import annotations

from dataclasses import asdict

import click

from pg_ephemeral.cli import output
from pg_ephemeral.cli.about import json_option


@click.command("prune")
@json_option
def prune(*, as_json: bool) -> None:
    """Remove containers, directories and nameless images of runs that were killed, and say which.

    Every run does this for its own backend; what still runs is left alone.
    """
    from pg_ephemeral.backends import prune as leftovers

    removed = []
    try:
        for one in leftovers.prune():
            removed.append(asdict(one))
            if not as_json:
                output.text(f"Removed: {one.backend} {one.kind} {one.name}")
    finally:
        if as_json:
            output.document({"removed": removed})
