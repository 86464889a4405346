"""referrals to and from other countries, their letters and the chain of custody."""

import sqlalchemy as sa
from alembic import op

from common.migrations import tables_0004

revision = "0008"
down_revision = "0007"

# As in 0007: who has the case, and both sides of its referrals inside the country.
_OF_A_CASE = """(SELECT prag_reach()) = 'service'
        OR EXISTS (SELECT FROM known_case AS c
          WHERE c.case_id = subject AND c.organisation_id = (SELECT prag_organisation()))
        OR EXISTS (SELECT FROM referral AS r WHERE r.case_id = subject
          AND (r.sending_organisation_id = (SELECT prag_organisation())
            OR (r.receiving_organisation_id = (SELECT prag_organisation())
              AND r.submitted_at IS NOT NULL AND r.consent_withdrawn_on IS NULL
              AND r.status NOT IN ('DECLINED', 'CANCELLED', 'EXPIRED'))))"""
# Who may take a step of a referral seals the letter that tells of it: the organisation that sends the
# person or takes her in, and the contact point of the receiving country.
_OF_LETTERS = """EXISTS (SELECT FROM cross_border_referral AS x WHERE x.id = {id}
          AND (x.organisation_id = (SELECT prag_organisation())
            OR (x.direction = 'RECEIVED' AND (SELECT prag_reach()) = 'all')))"""


def upgrade() -> None:
    op.create_table(
        "cross_border_referral",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(40), nullable=False),
        sa.Column("peer_country", sa.String(length=2), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("sex", sa.String(length=40), nullable=True),
        sa.Column("age_group", sa.String(length=8), nullable=True),
        sa.Column("needs", sa.JSON(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("urgency", sa.String(length=40), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=True),
        sa.Column("data_groups", sa.JSON(), nullable=False),
        sa.Column("requested_kind", sa.String(length=40), nullable=True),
        sa.Column("requested_organisation_id", sa.Uuid(), nullable=True),
        sa.Column("recipient_kind", sa.String(length=40), nullable=True),
        sa.Column("recipient_organisation_id", sa.Uuid(), nullable=True),
        sa.Column("service_id", sa.Uuid(), nullable=True),
        sa.Column("trm_stage", sa.String(length=40), nullable=True),
        sa.Column("transfer_basis", sa.String(length=40), nullable=True),
        sa.Column("risk_assessed_on", sa.Date(), nullable=True),
        sa.Column("needs_assessed_on", sa.Date(), nullable=True),
        sa.Column("guardian_appointed_on", sa.Date(), nullable=True),
        sa.Column("consent_ids", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("precondition", sa.String(length=40), nullable=True),
        sa.Column("planned_on", sa.Date(), nullable=True),
        sa.Column("arrived_on", sa.Date(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("respond_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=True),
        sa.Column("packaged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consent_withdrawn_on", sa.Date(), nullable=True),
        sa.Column("erased_on", sa.Date(), nullable=True),
        sa.Column("said", sa.Integer(), nullable=False),
        sa.Column("said_hash", sa.String(length=64), nullable=False),
        sa.Column("heard", sa.Integer(), nullable=False),
        sa.Column("heard_hash", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cross_border_referral")),
    )
    for name, columns in (
        ("case_id", ["case_id"]),
        ("clock", ["status", "respond_by"]),
        ("organisation", ["organisation_id", "recorded_at", "id"]),
        ("recorded_at", ["recorded_at", "id"]),
    ):
        op.create_index(f"ix_cross_border_referral_{name}", "cross_border_referral", columns)
    op.create_table(
        "custody",
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("author", sa.String(length=2), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("receipt_of", sa.Integer(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.String(length=32), nullable=True),
        sa.Column("signature", sa.String(length=88), nullable=True),
        sa.PrimaryKeyConstraint(
            "referral_id", "author", "number", "receipt_of", name=op.f("pk_custody")
        ),
    )
    op.create_index("ix_custody_kid", "custody", ["kid"])
    op.create_table(
        "letter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("receipt_of", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("recipient", sa.String(length=2), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("times_sent", sa.Integer(), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letter")),
    )
    op.create_index("ix_letter_due", "letter", ["heard_at", "sent_at", "written_at"])
    op.create_index("ix_letter_referral_id", "letter", ["referral_id"])
    tables_0004.secure(
        "letter",
        f"(SELECT prag_reach()) = 'service' OR {_OF_LETTERS.format(id='letter.referral_id')}",
    )
    tables_0004.expose("subject_key")
    tables_0004.secure_keys(f"{_OF_A_CASE} OR {_OF_LETTERS.format(id='subject')}")


def downgrade() -> None:
    tables_0004.expose("subject_key")
    tables_0004.secure_keys(_OF_A_CASE)
    tables_0004.expose("letter")
    for table in ("letter", "custody", "cross_border_referral"):
        op.drop_table(table)
