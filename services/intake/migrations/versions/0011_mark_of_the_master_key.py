"""mark of the master key."""

from common.migrations import tables_0006

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    tables_0006.create()


def downgrade() -> None:
    tables_0006.drop()
