from pathlib import Path

from pg_ephemeral.pytest_plugin import factories

# Before: the plugin of pytest-postgresql, and "from pytest_postgresql import factories".
pytest_plugins = ["pg_ephemeral.pytest_plugin.postgresql"]


def add_a_note(**connection):
    import psycopg

    with psycopg.connect(**connection) as connected:
        connected.execute("INSERT INTO note (body) VALUES ('Bread')")


loaded_proc = factories.postgresql_proc(load=[Path(__file__).with_name("more.sql"), add_a_note])
loaded = factories.postgresql("loaded_proc")
