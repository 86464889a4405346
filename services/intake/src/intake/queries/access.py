from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Select, or_, select

from common.tables import AuditEntry, AuditShown


def list_access(case_id: UUID, notices: Iterable[UUID]) -> Select[AuditEntry]:
    """Return the statement of all acts and looks the audit trail holds of a case.

    `notices` are those that led to it: they told of the same person, also before there was a case.
    A list showed many: it is found by the sealer's index.
    """
    ids = [case_id, *notices]
    lists = select(AuditShown.entry_id).where(AuditShown.object_id.in_([str(id_) for id_ in ids]))
    return select(AuditEntry).where(or_(AuditEntry.subject.in_(ids), AuditEntry.id.in_(lists)))
