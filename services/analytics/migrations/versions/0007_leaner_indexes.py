"""leaner indexes."""

from common.migrations import tables_0005

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    tables_0005.create()


def downgrade() -> None:
    tables_0005.drop()
