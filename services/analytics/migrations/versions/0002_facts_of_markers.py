"""facts of population markers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "marker_fact",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("marker_id", sa.Uuid(), nullable=False),
        sa.Column("marker", sa.String(length=40), nullable=False),
        sa.Column("since", sa.Date(), nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", "seq", name=op.f("pk_marker_fact")),
    )
    op.create_index("ix_marker_fact_happened_at", "marker_fact", ["happened_at"])


def downgrade() -> None:
    op.drop_table("marker_fact")
