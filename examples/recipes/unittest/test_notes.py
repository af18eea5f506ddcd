import unittest

import pg_ephemeral


def setUpModule():
    global server  # noqa: PLW0603 -- how unittest shares something among the tests of a module
    server = unittest.enterModuleContext(pg_ephemeral.boot())


class Notes(unittest.TestCase):
    def setUp(self):
        self.database = self.enterContext(server.database())
        self.connection = self.enterContext(self.database.connect())

    def test_a_note_is_added(self):
        self.connection.execute("INSERT INTO note (body) VALUES ('Bread')")
        self.assertEqual(self.connection.execute("SELECT count(*) FROM note").fetchone(), (3,))

    def test_every_test_begins_with_the_seeds(self):
        self.assertEqual(self.connection.execute("SELECT count(*) FROM note").fetchone(), (2,))


class Reports(unittest.TestCase):
    def setUp(self):
        self.connection = self.enterContext(self.enterContext(server.database(read_only=True)).connect())

    def test_tests_that_only_read_share_a_database(self):
        self.assertEqual(self.connection.execute("SELECT max(body) FROM note").fetchone(), ("Water the tomatoes",))
