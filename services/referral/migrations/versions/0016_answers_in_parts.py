"""answers in parts."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    # Who waits for an answer now asks again: nothing is known of which parts came.
    op.add_column(
        "peer_to_hear", sa.Column("lacks", sa.JSON(), nullable=False, server_default="{}")
    )


def downgrade() -> None:
    op.drop_column("peer_to_hear", "lacks")
