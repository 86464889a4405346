"""what a country that is put back from a backup hears of its peers, and forks."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for column in (
        sa.Column("given_back", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("owning_word", sa.String(40), nullable=True),
        sa.Column("owning_epoch", sa.Integer(), nullable=True),
        sa.Column("forked_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("cross_border_referral", column)
    op.create_table(
        "fork",
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("author", sa.String(length=2), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("signed", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("referral_id", "author", "number", "hash", name=op.f("pk_fork")),
    )
    op.create_table(
        "slip",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("peer", sa.String(length=2), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slip")),
    )
    op.create_table(
        "standing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sign", sa.String(length=200), nullable=False),
        sa.Column("asked", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing")),
    )
    op.create_table(
        "peer_to_hear",
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("asked", sa.Uuid(), nullable=False),
        sa.Column("is_written", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("country", name=op.f("pk_peer_to_hear")),
    )


def downgrade() -> None:
    for table in ("peer_to_hear", "standing", "slip", "fork"):
        op.drop_table(table)
    for column in ("forked_at", "owning_epoch", "owning_word", "given_back"):
        op.drop_column("cross_border_referral", column)
