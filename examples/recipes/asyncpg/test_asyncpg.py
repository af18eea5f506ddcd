import asyncpg
import pytest

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("body", ["Bread", "Butter"])
async def test_every_test_begins_with_the_seeds(connection, body):
    await connection.execute("INSERT INTO note (body) VALUES ($1)", body)
    found = await connection.fetch("SELECT body FROM note ORDER BY id")
    assert [row["body"] for row in found] == ["Milk", "Water the tomatoes", body]


async def test_a_pool(pg_url):
    async with asyncpg.create_pool(pg_url, min_size=2, max_size=2) as pool:
        assert await pool.fetchval("SELECT count(*) FROM note") == 2
