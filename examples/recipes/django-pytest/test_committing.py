"""Every way there is to ask for a test that commits: each begins with the seeds, whatever came before."""

from urllib.request import urlopen

import pytest
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from notes.models import Note


def add(body):
    assert list(Note.objects.order_by("id").values_list("body", flat=True)) == ["Milk", "Water the tomatoes"]
    with transaction.atomic(durable=True):
        return Note.objects.create(body=body)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_the_mark(body):
    add(body)


@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_the_fixture(transactional_db, body):
    add(body)


@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_sequences(django_db_reset_sequences, body):
    assert add(body).pk == 3


@pytest.mark.django_db(reset_sequences=True)
@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_sequences_by_the_mark(body):
    assert add(body).pk == 3


@pytest.mark.django_db(serialized_rollback=True, transaction=True)
@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_rows_of_migrations(body):
    add(body)


@pytest.mark.parametrize("body", ["Bread", "Butter"])
def test_a_server(live_server, body):
    with urlopen(f"{live_server.url}/add/{body}") as answer:  # noqa: S310 -- our own server
        assert answer.read() == b"3"
    assert Note.objects.filter(body=body).exists()


class Committing(TransactionTestCase):
    def test_bread(self):
        add("Bread")

    def test_butter(self):
        add("Butter")


class Counting(TransactionTestCase):
    reset_sequences = True

    def test_bread(self):
        self.assertEqual(add("Bread").pk, 3)

    def test_butter(self):
        self.assertEqual(add("Butter").pk, 3)


class RolledBack(TestCase):
    def test_it_begins_with_the_seeds(self):
        Note.objects.all().delete()
        self.assertEqual(Note.objects.count(), 0)

    def test_it_begins_with_the_seeds_again(self):
        self.assertEqual(Note.objects.count(), 2)
