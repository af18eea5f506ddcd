import httpx
import pytest
import pytest_asyncio
from application import app, database_url


@pytest.fixture
def application(pg_url):
    """The application on this test's database."""
    app.dependency_overrides[database_url] = lambda: pg_url
    yield app
    app.dependency_overrides.clear()


@pytest_asyncio.fixture
async def client(application):
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
