"""lists are read in their order from an index."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_plan_owner", "plan", ["organisation_id", "recorded_at", "id"])
    op.create_index("ix_plan_recorded_at", "plan", ["recorded_at", "id"])
    op.drop_index("ix_plan_organisation_id", table_name="plan")


def downgrade() -> None:
    op.create_index("ix_plan_organisation_id", "plan", ["organisation_id"])
    op.drop_index("ix_plan_recorded_at", table_name="plan")
    op.drop_index("ix_plan_owner", table_name="plan")
