"""recipient class of a consent; kinds of organisations; withdrawal after a referral's end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "known_organisation",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", name=op.f("pk_known_organisation")),
    )
    op.add_column(
        "consent", sa.Column("recipient_kinds", sa.JSON(), nullable=False, server_default="[]")
    )
    op.add_column("known_referral", sa.Column("consent_withdrawn_on", sa.Date(), nullable=True))


def downgrade() -> None:
    op.drop_column("known_referral", "consent_withdrawn_on")
    op.drop_column("consent", "recipient_kinds")
    op.drop_table("known_organisation")
