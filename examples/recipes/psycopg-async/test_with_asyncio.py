import pytest


@pytest.mark.asyncio
@pytest.mark.parametrize("body", ["Bread", "Butter"])
async def test_every_test_begins_with_the_seeds(pg_async_connection, body):
    await pg_async_connection.execute("INSERT INTO note (body) VALUES (%s)", [body])
    cursor = await pg_async_connection.execute("SELECT count(*) FROM note")
    assert await cursor.fetchone() == (3,)
