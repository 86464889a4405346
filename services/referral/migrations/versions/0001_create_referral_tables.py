"""create referral tables."""

import sqlalchemy as sa
from alembic import op

from common.migrations import tables_0001

revision = "0001"
down_revision = None


def upgrade() -> None:
    tables_0001.create()
    op.create_table(
        "known_case",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("beneficiary_kind", sa.String(length=40), nullable=False),
        sa.Column("sex", sa.String(length=40), nullable=False),
        sa.Column("age_group", sa.String(length=8), nullable=False),
        sa.Column("is_minor", sa.Boolean(), nullable=False),
        sa.Column("urgency", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_known_case")),
    )
    op.create_table(
        "known_consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(length=40), nullable=False),
        sa.Column("recipient_organisation_id", sa.Uuid(), nullable=True),
        sa.Column("recipient_countries", sa.JSON(), nullable=False),
        sa.Column("purposes", sa.JSON(), nullable=False),
        sa.Column("data_groups", sa.JSON(), nullable=False),
        sa.Column("given_by", sa.String(length=40), nullable=False),
        sa.Column("granted_on", sa.Date(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("is_withdrawn", sa.Boolean(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_known_consent")),
    )
    with op.batch_alter_table("known_consent") as batch_op:
        batch_op.create_index(batch_op.f("ix_known_consent_case_id"), ["case_id"], unique=False)
    op.create_table(
        "organisation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("sector", sa.String(length=40), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("municipality", sa.String(length=20), nullable=True),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation")),
    )
    with op.batch_alter_table("organisation") as batch_op:
        batch_op.create_index(
            batch_op.f("ix_organisation_recorded_at"), ["recorded_at"], unique=False
        )
    op.create_table(
        "referral",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("sending_organisation_id", sa.Uuid(), nullable=False),
        sa.Column("receiving_organisation_id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=True),
        sa.Column("service_type", sa.String(length=40), nullable=False),
        sa.Column("sex", sa.String(length=40), nullable=False),
        sa.Column("age_group", sa.String(length=8), nullable=False),
        sa.Column("urgency", sa.String(40), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("data_groups", sa.JSON(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("trm_stage", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("reason_note", sa.LargeBinary(), nullable=True),
        sa.Column("suggested_service_id", sa.Uuid(), nullable=True),
        sa.Column("consent_ids", sa.JSON(), nullable=False),
        sa.Column("holds_place", sa.Boolean(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("respond_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referral")),
    )
    with op.batch_alter_table("referral") as batch_op:
        batch_op.create_index(batch_op.f("ix_referral_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_referral_clock", ["status", "respond_by"], unique=False)
        batch_op.create_index(
            "ix_referral_received", ["receiving_organisation_id", "recorded_at"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_referral_recorded_at"), ["recorded_at"], unique=False)
        batch_op.create_index(
            "ix_referral_sent", ["sending_organisation_id", "recorded_at"], unique=False
        )
    op.create_table(
        "service",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("service_type", sa.String(length=40), nullable=False),
        sa.Column("sexes", sa.JSON(), nullable=False),
        sa.Column("age_groups", sa.JSON(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("accessibility", sa.JSON(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("free_places", sa.Integer(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service")),
    )
    with op.batch_alter_table("service") as batch_op:
        batch_op.create_index(
            batch_op.f("ix_service_organisation_id"), ["organisation_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_service_recorded_at"), ["recorded_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_service_service_type"), ["service_type"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("service") as batch_op:
        batch_op.drop_index(batch_op.f("ix_service_service_type"))
        batch_op.drop_index(batch_op.f("ix_service_recorded_at"))
        batch_op.drop_index(batch_op.f("ix_service_organisation_id"))
    op.drop_table("service")
    with op.batch_alter_table("referral") as batch_op:
        batch_op.drop_index("ix_referral_sent")
        batch_op.drop_index(batch_op.f("ix_referral_recorded_at"))
        batch_op.drop_index("ix_referral_received")
        batch_op.drop_index("ix_referral_clock")
        batch_op.drop_index(batch_op.f("ix_referral_case_id"))
    op.drop_table("referral")
    with op.batch_alter_table("organisation") as batch_op:
        batch_op.drop_index(batch_op.f("ix_organisation_recorded_at"))
    op.drop_table("organisation")
    with op.batch_alter_table("known_consent") as batch_op:
        batch_op.drop_index(batch_op.f("ix_known_consent_case_id"))
    op.drop_table("known_consent")
    op.drop_table("known_case")
    tables_0001.drop()
