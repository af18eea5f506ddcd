import pytest


@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_every_test_begins_with_the_seeds(postgresql, body):
    with postgresql.cursor() as cursor:
        cursor.execute("INSERT INTO note (body) VALUES (%s)", [body])
        postgresql.commit()
        cursor.execute("SELECT count(*) FROM note")
        assert cursor.fetchone() == (3,)


def test_what_load_names_is_there(loaded):
    assert loaded.execute("SELECT array_agg(body ORDER BY id) FROM note").fetchone() == (
        ["Milk", "Water the tomatoes", "Butter", "Bread"],
    )


def test_the_server(postgresql_proc, postgresql):
    assert (postgresql_proc.host, postgresql_proc.port) == (postgresql.info.host, postgresql.info.port)


@pytest.mark.asyncio
async def test_without_blocking(postgresql_async):
    cursor = await postgresql_async.execute("SELECT count(*) FROM note")
    assert await cursor.fetchone() == (2,)
