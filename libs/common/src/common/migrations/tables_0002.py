"""The index from a record to the lists that showed it. History: never edited."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    op.create_table(
        "audit_shown",
        sa.Column("object_id", sa.String(length=40), nullable=False),
        sa.Column(
            "entry_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("object_id", "entry_id", name=op.f("pk_audit_shown")),
    )


def drop() -> None:
    op.drop_table("audit_shown")
