"""letters still due."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.drop_index("ix_letter_due", table_name="letter")
    still_due = sa.text("sent_at IS NULL OR (receipt_of = 0 AND heard_at IS NULL)")
    op.create_index(
        "ix_letter_due",
        "letter",
        ["written_at", "number"],
        sqlite_where=still_due,
        postgresql_where=still_due,
    )


def downgrade() -> None:
    op.drop_index("ix_letter_due", table_name="letter")
    op.create_index("ix_letter_due", "letter", ["heard_at", "sent_at", "written_at"])
