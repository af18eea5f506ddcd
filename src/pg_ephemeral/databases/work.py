"""The steps a pool does on its own time: retire, discard and swap databases; and how much room it may take."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from pg_ephemeral.databases.template import Template, connect
from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import clones
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo

_GIB: Final = 1 << 30

#: What idle clones may take when the free disk is not known, and at most; both in bytes.
_DISK_UNKNOWN: Final = 1 * _GIB
_DISK_MOST: Final = 8 * _GIB


def retire(client: Client, name: str) -> int:
    """Let nobody in any more and end who is; returns the size in bytes. Raises ``ClientError``."""
    clones.allow_connections(client, name, allowed=False)
    clones.end_sessions(client, name)
    return clones.size(client, name)


def discard(client: Client, control: Conninfo, name: str) -> None:
    """Drop a database, with its prepared transactions if it has any. Raises ``ClientError``."""
    try:
        clones.drop(client, name)
    except ClientError as error:
        if error.sqlstate != clones.OBJECT_IN_USE:
            raise
        _roll_back_prepared(client, control, name)
        clones.drop(client, name)


def swap(client: Client, name: str, fresh: str, aside: str, *, read_only: bool) -> None:
    """Give ``name`` to the fresh clone and ``aside`` to the database that had it. Raises ``ClientError``."""
    if read_only:
        clones.make_read_only(client, fresh)
    clones.allow_connections(client, name, allowed=False)
    try:
        clones.end_sessions(client, name)
        clones.rename(client, name, aside)
    except ClientError:
        with suppress(ClientError):
            clones.allow_connections(client, name, allowed=True)
        raise
    clones.rename(client, fresh, name)


def disk_budget(asked: int | None, template: Template) -> int:
    """How many bytes idle clones may take: what was asked for, else a quarter of what is free where the server is."""
    if asked is not None:
        return asked
    try:
        disk = os.statvfs(template.data_directory)
    except OSError:
        return _DISK_UNKNOWN  # the server is in a container, or another user's
    return min(_DISK_MOST, disk.f_bavail * disk.f_frsize // 4)


def _roll_back_prepared(client: Client, control: Conninfo, name: str) -> None:
    gids = clones.prepared_transactions(client, name)
    if not gids:
        return
    clones.allow_connections(client, name, allowed=True)
    with connect(control, name) as inside:
        for gid in gids:
            clones.roll_back_prepared(inside, gid)
    clones.end_sessions(client, name)
