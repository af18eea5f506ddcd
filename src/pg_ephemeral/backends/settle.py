"""Leave a server's data as the next reader should find it, before a stage is made of it."""

from __future__ import annotations

from collections.abc import Callable

from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.client import Client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.superuser import forget_password
from pg_ephemeral.postgres.unhindered import LOCK_TIMEOUT

_OLDEST_NEEDED = "SELECT pg_walfile_name(min(restart_lsn)) FROM pg_replication_slots"


def settle(control: Conninfo, control_of: Callable[[str], Conninfo]) -> str | None:
    """Nobody connected, rows frozen, no password of ours. ``control_of`` is ``control`` to another database.

    Returns the first segment of the write-ahead log that a replication slot waits for, if there is one. Raises
    ``ClientError``, also when something holds a lock that this needs.
    """
    with _connected(control) as connection:
        _refuse_prepared(connection)
        client.terminate_clients(connection)
        for database in client.databases(connection):
            if database == control.database:
                client.freeze(connection)
            else:
                with _connected(control_of(database)) as other:
                    client.freeze(other)
        for statement in forget_password(control.user):
            connection.execute(statement)
        # The shutdown's checkpoint then stands at the start of a segment that is otherwise a hole.
        connection.execute("SELECT pg_switch_wal()")
        return next((name for (name,) in connection.rows(_OLDEST_NEEDED)), None)


def _connected(conninfo: Conninfo) -> Client:
    return client.connect_unhindered(conninfo, lock_timeout=LOCK_TIMEOUT)


def _refuse_prepared(connection: Client) -> None:
    """A prepared transaction keeps its locks for good. The function, unlike the view, waits for none."""
    gids = [gid for (gid,) in connection.rows("SELECT gid FROM pg_prepared_xact() ORDER BY 1")]
    if gids:
        raise ClientError(
            f"the transaction that was prepared as {gids[0]!r} is still there",
            hint="commit it or roll it back, with COMMIT PREPARED or ROLLBACK PREPARED",
        )
