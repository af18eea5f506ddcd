import pytest
from notes import Note
from sqlalchemy import func, select
from sqlalchemy.orm import Session


@pytest.fixture
def session(engine):
    with Session(engine) as session:
        yield session


@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_every_test_begins_with_the_seeds(session, body):
    session.add(Note(body=body))
    session.commit()
    assert session.scalars(select(Note.body).order_by(Note.id)).all() == ["Milk", "Water the tomatoes", body]


def test_a_second_connection_sees_what_was_committed(session, engine):
    session.add(Note(body="Bread"))
    session.commit()
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Note)) == 3
