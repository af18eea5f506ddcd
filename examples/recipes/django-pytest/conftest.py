import pytest
from django.db import connections
from django.test import TransactionTestCase


@pytest.fixture(scope="session")
def django_db_setup(pg_database_session):
    """In place of pytest-django's own: this worker's clone of the migrated database. Nothing is migrated here."""
    keywords = pg_database_session.conninfo.keywords()
    settings = connections["default"].settings_dict
    settings |= {"NAME": keywords["dbname"], "HOST": keywords["host"], "PORT": keywords["port"]}
    settings |= {"USER": keywords["user"], "PASSWORD": keywords["password"]}

    def bring_back(*_):
        connections.close_all()
        pg_database_session.reset()

    with pytest.MonkeyPatch.context() as patch:
        # After a test that commits Django empties all tables, and rows that migrations made are gone. Whoever asks for
        # such a test, by a mark, a fixture or a class, it ends here. With the rows come the sequences.
        patch.setattr(TransactionTestCase, "_fixture_teardown", bring_back)
        patch.setattr(TransactionTestCase, "_reset_sequences", staticmethod(bring_back))
        yield
    connections.close_all()
