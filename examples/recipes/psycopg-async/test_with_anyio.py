import psycopg
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_connection(pg_async_connection):
    async with pg_async_connection.transaction():
        await pg_async_connection.execute("DELETE FROM note")
    cursor = await pg_async_connection.execute("SELECT count(*) FROM note")
    assert await cursor.fetchone() == (0,)


async def test_connections_of_ones_own(pg_url):
    async with await psycopg.AsyncConnection.connect(pg_url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM note")
        assert await cursor.fetchone() == (2,)
