"""Leave a server's data as the next reader should find it, before a stage is made of it."""

from __future__ import annotations

from collections.abc import Callable

from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.conninfo import Conninfo
from pg_ephemeral.postgres.names import quote_identifier


def settle(control: Conninfo, control_of: Callable[[str], Conninfo]) -> None:
    """Nobody connected, rows frozen, no password of ours. ``control_of`` is ``control`` to another database.

    Raises ``ClientError``.
    """
    with client.connect(control) as connection:
        client.terminate_clients(connection)
        for database in client.databases(connection):
            if database == control.database:
                client.freeze(connection)
            else:
                with client.connect(control_of(database)) as other:
                    client.freeze(other)
        connection.execute(f"ALTER ROLE {quote_identifier(control.user)} PASSWORD NULL")
        # The dead row would keep the verifier; only a rewrite drops its bytes.
        connection.execute("VACUUM (FULL, FREEZE) pg_authid")
        # The shutdown's checkpoint then stands at the start of a segment that is otherwise a hole.
        connection.execute("SELECT pg_switch_wal()")
