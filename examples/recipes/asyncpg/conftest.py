import asyncpg
import pytest_asyncio


@pytest_asyncio.fixture
async def connection(pg_url):
    connection = await asyncpg.connect(pg_url)
    yield connection
    await connection.close()
