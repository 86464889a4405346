from uuid import UUID

from sqlalchemy import Select, select

from common.tables import AuditEntry


def list_access(case_id: UUID) -> Select[AuditEntry]:
    """Return the statement of all acts and reads the audit trail holds of a case."""
    return select(AuditEntry).where(AuditEntry.subject == case_id)
