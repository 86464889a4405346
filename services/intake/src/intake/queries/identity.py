from uuid import UUID

from sqlalchemy import bindparam, select

from common.unit import Unit
from intake.models import CaseIdentity

_IDENTITY = select(CaseIdentity).where(CaseIdentity.case_id == bindparam("case_id"))


async def find_identity(unit: Unit, case_id: UUID) -> CaseIdentity | None:
    """Return the sealed identity of a case; None while none was recorded."""
    return await unit.find(_IDENTITY, case_id=case_id)
