"""The superuser's password, in SQL: how it is set, whatever was done to the role, and how it is forgotten. Pure."""

from __future__ import annotations

from pg_ephemeral.postgres.names import quote_identifier, quote_literal

_UNEXPIRE = "UPDATE pg_catalog.pg_authid SET rolvaliduntil = NULL WHERE rolname = {user} AND rolvaliduntil < now()"


def give_password(user: str, verifier: str) -> tuple[str, ...]:
    """Let ``user`` in with the password of this verifier, also if its time is over."""
    return (
        # Or that module, if it is loaded, would keep the next statement in a file of the data directory.
        "SET pg_stat_statements.track_utility TO off",
        f"ALTER ROLE {quote_identifier(user)} PASSWORD {quote_literal(verifier)}",
        _UNEXPIRE.format(user=quote_literal(user)),
    )


def forget_password(user: str) -> tuple[str, ...]:
    """Leave no password of ``user``, nor the bytes of one that it had."""
    return (
        f"ALTER ROLE {quote_identifier(user)} PASSWORD NULL",
        # The dead row would keep the verifier; only a rewrite drops its bytes.
        "VACUUM (FULL, FREEZE) pg_catalog.pg_authid",
    )
