"""cases that go to another country, come from one, and are erased."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Every case there is was opened here and has never been given away.
    for column in (
        sa.Column("holding", sa.String(40), nullable=False, server_default="OWNER"),
        sa.Column("epoch", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("refused", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("given_by", sa.Uuid(), nullable=True),
        sa.Column("erased_on", sa.Date(), nullable=True),
    ):
        op.add_column("case_file", column)
    op.create_index("ix_case_file_given_by", "case_file", ["given_by"])
    op.create_table(
        "case_origin",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("sender_country", sa.String(length=2), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("data_groups", sa.JSON(), nullable=False),
        sa.Column("exploitation_types", sa.JSON(), nullable=False),
        sa.Column("unmapped", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_case_origin_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_case_origin")),
        sa.UniqueConstraint("referral_id", name=op.f("uq_case_origin_referral_id")),
    )
    op.create_table(
        "package_release",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_country", sa.String(length=2), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("data_groups", sa.JSON(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["case_file.id"], name=op.f("fk_package_release_case_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_package_release")),
    )
    op.create_index("ix_package_release_case_id", "package_release", ["case_id"])
    op.create_index("ix_package_release_referral_id", "package_release", ["referral_id"])
    op.create_table(
        "known_transfer",
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("direction", sa.String(length=40), nullable=False),
        sa.Column("peer_country", sa.String(length=2), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True),
        sa.Column("recipient_organisation_id", sa.Uuid(), nullable=True),
        sa.Column("recipient_kind", sa.String(length=40), nullable=True),
        sa.Column("purpose", sa.String(length=40), nullable=True),
        sa.Column("data_groups", sa.JSON(), nullable=False),
        sa.Column("urgency", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("referral_id", name=op.f("pk_known_transfer")),
    )
    op.create_index("ix_known_transfer_case_id", "known_transfer", ["case_id"])
    # A key may go, by the service itself: with it everything that was sealed under it.
    _on_postgresql(
        "CREATE POLICY erasers ON subject_key FOR DELETE USING ((SELECT prag_reach()) = 'service')"
    )


def downgrade() -> None:
    _on_postgresql("DROP POLICY erasers ON subject_key")
    op.drop_table("known_transfer")
    op.drop_table("package_release")
    op.drop_table("case_origin")
    op.drop_index("ix_case_file_given_by", table_name="case_file")
    for column in ("erased_on", "given_by", "refused", "epoch", "holding"):
        op.drop_column("case_file", column)


def _on_postgresql(statement: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(statement)
