"""population markers of a case; what a person declares of herself."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "case_marker",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("marker", sa.String(40), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("recorded_by", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_case_marker_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_marker")),
    )
    op.create_index("ix_case_marker_case_id", "case_marker", ["case_id"])

    op.create_table(
        "case_marker_end",
        sa.Column("marker_id", sa.Uuid(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("recorded_by", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["marker_id"], ["case_marker.id"], name=op.f("fk_case_marker_end_marker_id")
        ),
        sa.PrimaryKeyConstraint("marker_id", name=op.f("pk_case_marker_end")),
    )
    op.create_table(
        "declaration",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("recorded_by", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_declaration_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_declaration")),
    )
    op.create_index("ix_declaration_case_id", "declaration", ["case_id"])


def downgrade() -> None:
    # Their indexes go with them.
    op.drop_table("declaration")
    op.drop_table("case_marker_end")
    op.drop_table("case_marker")
