"""The steps a pool does on its own time: retire, discard and swap databases; and how much room it may take."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from pg_ephemeral.databases.options import Options
from pg_ephemeral.databases.template import connect
from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo

_GIB: Final = 1 << 30

#: What the idle clones of a server may take when the free disk is not known, and at most; both in bytes.
_DISK_UNKNOWN: Final = 1 * _GIB
_DISK_MOST: Final = 8 * _GIB


def retire(client: Client, name: str) -> int:
    """Let nobody in any more and end who is; returns the size in bytes. Raises ``ClientError``."""
    clones.allow_connections(client, name, allowed=False)
    clones.end_sessions(client, name)
    return clones.size(client, name)


def discard(client: Client, control: Conninfo, name: str) -> None:
    """Drop a database, with its prepared transactions and subscriptions if it has any. Raises ``ClientError``."""
    try:
        clones.drop(client, name)
    except ClientError as error:
        if error.sqlstate != clones.OBJECT_IN_USE:
            raise
        _release(client, control, name)
        clones.drop(client, name)


def swap(client: Client, name: str, fresh: str, aside: str, *, read_only: bool) -> None:
    """Give ``name`` to the fresh clone and ``aside`` to the database that had it.

    Raises ``ClientError``; then ``name`` is what it was, if the server still lets that be done.
    """
    if read_only:
        clones.make_read_only(client, fresh)
    clones.allow_connections(client, name, allowed=False)
    try:
        clones.end_sessions(client, name)
        clones.rename(client, name, aside)
        try:
            clones.rename(client, fresh, name)
        except ClientError:
            with suppress(ClientError):
                clones.rename(client, aside, name)
            raise
    except ClientError:
        with suppress(ClientError):
            clones.allow_connections(client, name, allowed=True)
        raise


def disk_budget(options: Options, directory: str | None) -> int:
    """How many bytes the idle clones of one process may take: what was asked for, or its share of what is free.

    All processes together may take a quarter of that, where the clones go to.
    """
    if options.disk is not None:
        return options.disk
    most = _DISK_UNKNOWN
    if directory is not None:
        with suppress(OSError):  # the server is in a container, or another user's
            disk = os.statvfs(directory)
            most = min(_DISK_MOST, disk.f_bavail * disk.f_frsize // 4)
    return most // options.processes


def _release(client: Client, control: Conninfo, name: str) -> None:
    """Undo in a database what the server will not drop it with."""
    gids = clones.prepared_transactions(client, name)
    clones.allow_connections(client, name, allowed=True)
    with connect(control, name) as inside:
        for gid in gids:
            clones.roll_back_prepared(inside, gid)
        clones.drop_subscriptions(inside)
    clones.allow_connections(client, name, allowed=False)
    clones.end_sessions(client, name)
