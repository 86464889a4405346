"""create analytics tables."""

import sqlalchemy as sa
from alembic import op

from common.migrations import tables_0001

revision = "0001"
down_revision = None


def upgrade() -> None:
    tables_0001.create()
    op.create_table(
        "case_fact",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("beneficiary_kind", sa.String(length=40), nullable=False),
        sa.Column("identification_status", sa.String(length=40), nullable=False),
        sa.Column("sex", sa.String(length=40), nullable=False),
        sa.Column("age_group", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "seq", name=op.f("pk_case_fact")),
    )
    with op.batch_alter_table("case_fact", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_fact_happened_at"), ["happened_at"], unique=False)
    op.create_table(
        "plan_fact",
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.String(length=40), nullable=False),
        sa.Column("entered_on", sa.Date(), nullable=True),
        sa.Column("overdue", sa.Boolean(), nullable=False),
        sa.Column("closure_reason", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("plan_id", "seq", name=op.f("pk_plan_fact")),
    )
    with op.batch_alter_table("plan_fact", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plan_fact_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_plan_fact_happened_at"), ["happened_at"], unique=False)
    op.create_table(
        "referral_fact",
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("urgency", sa.String(length=40), nullable=False),
        sa.Column("service_type", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("referral_id", "seq", name=op.f("pk_referral_fact")),
    )
    with op.batch_alter_table("referral_fact", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_referral_fact_happened_at"), ["happened_at"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("referral_fact", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_referral_fact_happened_at"))
    op.drop_table("referral_fact")
    with op.batch_alter_table("plan_fact", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_plan_fact_happened_at"))
        batch_op.drop_index(batch_op.f("ix_plan_fact_case_id"))
    op.drop_table("plan_fact")
    with op.batch_alter_table("case_fact", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_fact_happened_at"))
    op.drop_table("case_fact")
    tables_0001.drop()
