"""In which log a position counts. History: never edited."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    with op.batch_alter_table("consumer_position") as table:
        table.add_column(sa.Column("log_id", sa.Uuid(), nullable=True))


def drop() -> None:
    with op.batch_alter_table("consumer_position") as table:
        table.drop_column("log_id")
