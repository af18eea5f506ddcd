import pytest
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.fixture
def url(pg_url):
    """The test's database, for both kinds of engine: psycopg is both a sync and an async driver."""
    return make_url(pg_url).set(drivername="postgresql+psycopg")


@pytest.fixture
def engine(url):
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def async_engine(url):
    # Without a pool no connection outlives the event loop it was made in.
    return create_async_engine(url, poolclass=NullPool)
