"""The fixtures of pytest-postgresql: ``postgresql``, ``postgresql_proc``, ``postgresql_noproc``, ``postgresql_async``.

Not part of the plugin unless asked for: ``pytest_plugins = ["pg_ephemeral.pytest_plugin.postgresql"]`` in the conftest.
"""

from __future__ import annotations

from pg_ephemeral.pytest_plugin import factories

__all__ = ["postgresql", "postgresql_async", "postgresql_noproc", "postgresql_proc"]

postgresql_proc = factories.postgresql_proc()
postgresql_noproc = factories.postgresql_noproc()
postgresql = factories.postgresql("postgresql_proc")
postgresql_async = factories.postgresql_async("postgresql_proc")
