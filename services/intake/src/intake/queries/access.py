from uuid import UUID

from sqlalchemy import Select, or_, select

from common.tables import AuditEntry, AuditShown


def list_access(case_id: UUID) -> Select[AuditEntry]:
    """Return the statement of all acts and looks the audit trail holds of a case.

    A list showed many: it is found by the sealer's index.
    """
    lists = select(AuditShown.entry_id).where(AuditShown.object_id == str(case_id))
    return select(AuditEntry).where(or_(AuditEntry.subject == case_id, AuditEntry.id.in_(lists)))
