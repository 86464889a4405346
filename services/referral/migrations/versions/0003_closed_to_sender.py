"""a sender that lost the case keeps only the fact of what it sent."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("referral", sa.Column("closed_to_sender_on", sa.Date(), nullable=True))


def downgrade() -> None:
    op.drop_column("referral", "closed_to_sender_on")
