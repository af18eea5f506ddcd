"""A small API; the URL of its database comes from the environment, and is a dependency."""

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

import psycopg
from fastapi import Depends, FastAPI

app = FastAPI()


def database_url() -> str:
    return os.environ["DATABASE_URL"]


async def connection(url: Annotated[str, Depends(database_url)]) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(url) as connected:
        yield connected


Connection = Annotated[Any, Depends(connection)]


@app.get("/notes")
async def notes(connected: Connection) -> list[str]:
    cursor = await connected.execute("SELECT body FROM note ORDER BY id")
    return [body for (body,) in await cursor.fetchall()]


@app.post("/notes", status_code=201)
async def add_note(body: str, connected: Connection) -> None:
    await connected.execute("INSERT INTO note (body) VALUES (%s)", [body])
