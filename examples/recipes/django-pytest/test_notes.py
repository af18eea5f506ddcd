import pytest
from notes.models import Note


@pytest.mark.django_db
@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_every_test_begins_with_the_seeds(body):
    Note.objects.create(body=body)
    assert list(Note.objects.order_by("id").values_list("body", flat=True)) == ["Milk", "Water the tomatoes", body]


def test_one_that_needs_no_database_gets_none():
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        Note.objects.count()
