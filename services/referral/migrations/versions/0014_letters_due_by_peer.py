"""letters due by peer."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    _index(["recipient", "written_at", "number"])


def downgrade() -> None:
    _index(["written_at", "number"])


def _index(columns: list[str]) -> None:
    op.drop_index("ix_letter_due", table_name="letter")
    still_due = sa.text("sent_at IS NULL OR (receipt_of = 0 AND heard_at IS NULL)")
    op.create_index(
        "ix_letter_due",
        "letter",
        columns,
        sqlite_where=still_due,
        postgresql_where=still_due,
    )
