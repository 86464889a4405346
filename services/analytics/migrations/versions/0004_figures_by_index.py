"""figures and counts of now are read from indexes alone."""

from alembic import op

revision = "0004"
down_revision = "0003"

_INDEXES = {
    "case_fact": ("case_id", "seq", "happened_at", "beneficiary_kind", "sex", "age_group"),
    "plan_fact": ("plan_id", "seq", "happened_at", "case_id", "phase", "overdue"),
    "referral_fact": ("referral_id", "seq", "happened_at", "status"),
}


def upgrade() -> None:
    for table, columns in _INDEXES.items():
        op.create_index(f"ix_{table}_state", table, columns)
        op.drop_index(f"ix_{table}_happened_at", table_name=table)
    op.create_index("ix_plan_fact_start", "plan_fact", ["case_id", "entered_on", "happened_at"])
    op.drop_index("ix_plan_fact_case_id", table_name="plan_fact")


def downgrade() -> None:
    op.create_index("ix_plan_fact_case_id", "plan_fact", ["case_id"])
    op.drop_index("ix_plan_fact_start", table_name="plan_fact")
    for table in _INDEXES:
        op.create_index(f"ix_{table}_happened_at", table, ["happened_at"])
        op.drop_index(f"ix_{table}_state", table_name=table)
