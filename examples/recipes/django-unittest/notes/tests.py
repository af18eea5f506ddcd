from django.test import TestCase

from notes.models import Note


class Adding(TestCase):
    def test_every_test_begins_with_the_seeds(self):
        Note.objects.create(body="Bread")
        self.assertEqual(Note.objects.count(), 3)


class Removing(TestCase):
    def test_every_test_begins_with_the_seeds(self):
        Note.objects.all().delete()
        self.assertEqual(Note.objects.count(), 0)
