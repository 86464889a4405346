"""audit only grows."""

from common.migrations import tables_0004

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    tables_0004.create()


def downgrade() -> None:
    tables_0004.drop()
