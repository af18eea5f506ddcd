"""When a note was written."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("note", sa.Column("written", sa.Date))


def downgrade():
    op.drop_column("note", "written")
