"""Run migrations on the database of DATABASE_URL, or on the connection that a test gives."""

import os

from alembic import context
from sqlalchemy import NullPool, create_engine, make_url


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        run(connection)
