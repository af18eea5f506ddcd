import pytest
from django.db import connections

DATABASE = pytest.StashKey()
EMPTIED = pytest.StashKey()


@pytest.fixture(scope="session")
def django_db_setup(request, pg_database_session):
    """In place of pytest-django's own: this worker's clone of the migrated database. Nothing is migrated here."""
    keywords = pg_database_session.conninfo.keywords()
    settings = connections["default"].settings_dict
    settings |= {"NAME": keywords["dbname"], "HOST": keywords["host"], "PORT": keywords["port"]}
    settings |= {"USER": keywords["user"], "PASSWORD": keywords["password"]}
    request.config.stash[DATABASE] = pg_database_session
    yield
    connections.close_all()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Django empties all tables after a test that commits. The next one gets the content back, migrations' rows too."""
    stash = item.config.stash
    if stash.get(EMPTIED, False):
        connections.close_all()
        stash[DATABASE].reset()
    marker = item.get_closest_marker("django_db")
    stash[EMPTIED] = bool(marker and marker.kwargs.get("transaction"))
