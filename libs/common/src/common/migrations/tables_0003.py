"""Who reads a partition. History: never edited."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    with op.batch_alter_table("consumer_position") as table:
        table.add_column(sa.Column("owner_epoch", sa.Integer(), nullable=False, server_default="0"))


def drop() -> None:
    with op.batch_alter_table("consumer_position") as table:
        table.drop_column("owner_epoch")
