"""log of a position."""

from common.migrations import tables_0007

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    tables_0007.create()


def downgrade() -> None:
    tables_0007.drop()
