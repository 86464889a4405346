"""readers of letters owed."""

from common.migrations import tables_0004

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    # As of the letters themselves, in 0008.
    tables_0004.secure(
        "owed_letter",
        """(SELECT prag_reach()) = 'service'
        OR EXISTS (SELECT FROM cross_border_referral AS x WHERE x.id = owed_letter.referral_id
          AND (x.organisation_id = (SELECT prag_organisation())
            OR (x.direction = 'RECEIVED' AND (SELECT prag_reach()) = 'all')))""",
    )


def downgrade() -> None:
    tables_0004.expose("owed_letter")
