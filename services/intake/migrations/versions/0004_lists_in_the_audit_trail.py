"""lists in the audit trail."""

from common.migrations import tables_0002

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    tables_0002.create()


def downgrade() -> None:
    tables_0002.drop()
