import pytest
from notes import Note
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("body", ["Bread", "Butter"])
async def test_every_test_begins_with_the_seeds(async_engine, body):
    async with AsyncSession(async_engine) as session:
        session.add(Note(body=body))
        await session.commit()
        found = await session.scalars(select(Note.body).order_by(Note.id))
        assert found.all() == ["Milk", "Water the tomatoes", body]
