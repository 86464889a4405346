"""By which master key a database was made. History: never edited."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    op.create_table(
        "key_mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mark", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_mark")),
    )


def drop() -> None:
    op.drop_table("key_mark")
