"""whether another country has a case, or is being offered it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("known_case", sa.Column("given_epoch", sa.Integer(), nullable=True))
    op.add_column("known_case", sa.Column("given_by", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("known_case", "given_by")
    op.drop_column("known_case", "given_epoch")
