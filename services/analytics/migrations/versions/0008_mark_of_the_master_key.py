"""mark of the master key."""

from common.migrations import tables_0006

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    tables_0006.create()


def downgrade() -> None:
    tables_0006.drop()
