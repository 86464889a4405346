"""recipient class and guardian of a consent; withdrawal after a referral's end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "known_consent",
        sa.Column("recipient_kinds", sa.JSON(), nullable=False, server_default="[]"),
    )
    op.add_column("known_consent", sa.Column("guardian", sa.String(length=40), nullable=True))
    op.add_column("referral", sa.Column("consent_withdrawn_on", sa.Date(), nullable=True))


def downgrade() -> None:
    op.drop_column("referral", "consent_withdrawn_on")
    op.drop_column("known_consent", "guardian")
    op.drop_column("known_consent", "recipient_kinds")
