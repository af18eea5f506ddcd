import pytest
from django.db import transaction
from notes.models import Note


@pytest.mark.django_db
@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_every_test_begins_with_the_seeds(body):
    Note.objects.create(body=body)
    assert list(Note.objects.order_by("id").values_list("body", flat=True)) == ["Milk", "Water the tomatoes", body]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_one_that_commits(body):
    with transaction.atomic(durable=True):
        Note.objects.create(body=body)
    assert Note.objects.count() == 3
