"""owner of a partition."""

from common.migrations import tables_0003

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    tables_0003.create()


def downgrade() -> None:
    tables_0003.drop()
