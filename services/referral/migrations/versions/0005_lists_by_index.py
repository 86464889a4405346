"""lists are read in their order from an index."""

from alembic import op

revision = "0005"
down_revision = "0004"

_INDEXES = (
    ("ix_referral_sent", "referral", ["sending_organisation_id", "recorded_at"]),
    ("ix_referral_received", "referral", ["receiving_organisation_id", "recorded_at"]),
    ("ix_referral_recorded_at", "referral", ["recorded_at"]),
)


def upgrade() -> None:
    for name, table, columns in _INDEXES:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, [*columns, "id"])


def downgrade() -> None:
    for name, table, columns in _INDEXES:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns)
