"""readers of rows."""

from common.migrations import tables_0004

revision = "0007"
down_revision = "0006"

# As intake.queries.case has it: the owner's workers, and who took the case on by a referral that
# consent still carries.
_OWN = "organisation_id = (SELECT prag_organisation())"
_REFERRED = """EXISTS (
  SELECT FROM known_referral AS r
  WHERE r.case_id = {case} AND r.receiving_organisation_id = (SELECT prag_organisation())
    AND r.status IN ('ACCEPTED', 'COMPLETED') AND r.consent_withdrawn_on IS NULL)"""
_SERVICE = "(SELECT prag_reach()) = 'service'"
_SEES_ALL = "(SELECT prag_reach()) IN ('facts', 'all', 'service')"
_OPENS_ALL = "(SELECT prag_reach()) IN ('all', 'service')"


_OWN_CASE = """EXISTS (
  SELECT FROM case_file AS c
  WHERE c.id = {case} AND c.organisation_id = (SELECT prag_organisation()))"""
_OWN_NOTICE = """EXISTS (
  SELECT FROM notice AS n
  WHERE n.id = subject_key.subject AND n.organisation_id = (SELECT prag_organisation()))"""


def _known(case: str) -> str:
    return f"{_OWN_CASE.format(case=case)} OR {_REFERRED.format(case=case)}"


def upgrade() -> None:
    tables_0004.create()
    referred = _REFERRED.format(case="case_file.id")
    tables_0004.secure("case_file", f"{_SEES_ALL} OR {_OWN} OR {referred}")
    # Also those that led to an own case: the log of who looked at it names them. Their key stays shut.
    led = _OWN_CASE.format(case="notice.case_id")
    tables_0004.secure("notice", f"{_SEES_ALL} OR {_OWN} OR {led}")
    # Nobody's role opens every identity.
    tables_0004.secure("case_identity", f"{_SERVICE} OR {_known('case_identity.case_id')}")
    tables_0004.secure_keys(f"{_OPENS_ALL} OR {_known('subject_key.subject')} OR {_OWN_NOTICE}")


def downgrade() -> None:
    tables_0004.expose("subject_key", "case_identity", "notice", "case_file")
    tables_0004.drop()
