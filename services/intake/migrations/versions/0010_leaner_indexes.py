"""leaner indexes."""

import sqlalchemy as sa
from alembic import op

from common.migrations import tables_0005

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    tables_0005.create()
    op.drop_index("ix_case_file_given_by", table_name="case_file")
    given = sa.text("given_by IS NOT NULL")
    op.create_index(
        "ix_case_file_given_by",
        "case_file",
        ["given_by"],
        sqlite_where=given,
        postgresql_where=given,
    )


def downgrade() -> None:
    op.drop_index("ix_case_file_given_by", table_name="case_file")
    op.create_index("ix_case_file_given_by", "case_file", ["given_by"])
    tables_0005.drop()
