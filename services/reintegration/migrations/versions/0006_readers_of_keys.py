"""readers of keys."""

from common.migrations import tables_0004

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    tables_0004.create()
    # Who carries a plan of the case, on consent. The owner of the case follows it by codes and dates.
    tables_0004.secure_keys(
        """(SELECT prag_reach()) = 'service'
        OR EXISTS (SELECT FROM plan AS p
          WHERE p.case_id = subject AND p.consent_withdrawn_on IS NULL
            AND p.organisation_id = (SELECT prag_organisation()))"""
    )


def downgrade() -> None:
    tables_0004.expose("subject_key")
    tables_0004.drop()
