from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, inspect, make_url


@pytest.fixture
def connection(pg_url):
    url = make_url(pg_url).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        yield connection


@pytest.fixture
def alembic(connection):
    config = Config(Path(__file__).with_name("alembic.ini"))
    config.attributes["connection"] = connection
    return config


def test_the_database_is_migrated(connection):
    assert MigrationContext.configure(connection).get_current_revision() == "0002"
    assert {column["name"] for column in inspect(connection).get_columns("note")} == {"id", "body", "written"}


def test_migrations_go_down_and_up_again(alembic, connection):
    command.downgrade(alembic, "base")
    assert inspect(connection).get_table_names() == ["alembic_version"]
    command.upgrade(alembic, "head")
    assert sorted(inspect(connection).get_table_names()) == ["alembic_version", "note"]
