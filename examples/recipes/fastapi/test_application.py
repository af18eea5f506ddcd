import pytest

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("body", ["Bread", "Butter"])
async def test_a_note_is_added(client, body):
    assert (await client.post("/notes", params={"body": body})).status_code == 201
    assert (await client.get("/notes")).json() == ["Milk", "Water the tomatoes", body]


async def test_what_the_application_wrote_can_be_looked_at(client, pg_connection):
    await client.post("/notes", params={"body": "Bread"})
    assert pg_connection.execute("SELECT count(*) FROM note WHERE body = 'Bread'").fetchone() == (1,)
