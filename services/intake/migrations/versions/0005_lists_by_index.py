"""lists are read in their order from an index."""

from alembic import op

revision = "0005"
down_revision = "0004"

_INDEXES = (
    ("ix_notice_reporter", "notice", ["organisation_id", "recorded_at"]),
    ("ix_notice_recorded_at", "notice", ["recorded_at"]),
    ("ix_case_file_owner", "case_file", ["organisation_id", "recorded_at"]),
    ("ix_case_file_recorded_at", "case_file", ["recorded_at"]),
)


def upgrade() -> None:
    for name, table, columns in _INDEXES:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, [*columns, "id"])


def downgrade() -> None:
    for name, table, columns in _INDEXES:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns)
