"""Databases for tests: clones of the seeded database, made ahead, handed out at once, dropped when nobody waits."""

from __future__ import annotations

from pg_ephemeral.databases.database import Database
from pg_ephemeral.databases.manager import Databases
from pg_ephemeral.databases.opened import Kind
from pg_ephemeral.databases.options import Options, Timings
from pg_ephemeral.postgres.clones import Strategy

__all__ = ["Database", "Databases", "Kind", "Options", "Strategy", "Timings"]
