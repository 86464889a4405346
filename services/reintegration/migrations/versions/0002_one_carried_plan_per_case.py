"""a plan that consent no longer carries does not stand in another one's way."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INDEX = "ix_plan_open_case"
_OPEN = sa.text("phase <> 'CLOSED'")
_CARRIED = sa.text("phase <> 'CLOSED' AND consent_withdrawn_on IS NULL")


def upgrade() -> None:
    _replace(_CARRIED)


def downgrade() -> None:
    _replace(_OPEN)


def _replace(where: sa.TextClause) -> None:
    op.drop_index(_INDEX, table_name="plan")
    op.create_index(
        _INDEX, "plan", ["case_id"], unique=True, sqlite_where=where, postgresql_where=where
    )
