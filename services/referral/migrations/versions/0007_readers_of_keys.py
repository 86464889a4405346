"""readers of keys."""

from common.migrations import tables_0004

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    tables_0004.create()
    # Who has the case, and both sides of its referrals; a receiver that keeps only the fact, as
    # referral.domain has it, no more. The rows stay open: whether a sender still has a case is
    # decided on referrals between others.
    tables_0004.secure_keys(
        """(SELECT prag_reach()) = 'service'
        OR EXISTS (SELECT FROM known_case AS c
          WHERE c.case_id = subject AND c.organisation_id = (SELECT prag_organisation()))
        OR EXISTS (SELECT FROM referral AS r WHERE r.case_id = subject
          AND (r.sending_organisation_id = (SELECT prag_organisation())
            OR (r.receiving_organisation_id = (SELECT prag_organisation())
              AND r.submitted_at IS NOT NULL AND r.consent_withdrawn_on IS NULL
              AND r.status NOT IN ('DECLINED', 'CANCELLED', 'EXPIRED'))))"""
    )


def downgrade() -> None:
    tables_0004.expose("subject_key")
    tables_0004.drop()
