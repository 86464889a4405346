"""whether the register was put back from a backup."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "standing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sign", sa.String(length=200), nullable=False),
        sa.Column("asked", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing")),
    )


def downgrade() -> None:
    op.drop_table("standing")
