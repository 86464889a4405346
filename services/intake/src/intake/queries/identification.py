from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from common.unit import Unit
from intake.models import IdentificationDecision


async def list_decisions(unit: Unit, case_id: UUID) -> Sequence[IdentificationDecision]:
    """Return the steps of a case's identification, oldest first."""
    return await unit.list(
        select(IdentificationDecision)
        .where(IdentificationDecision.case_id == case_id)
        .order_by(IdentificationDecision.number)
    )


async def find_last(unit: Unit, case_id: UUID) -> IdentificationDecision | None:
    """Return the newest step, None before the first."""
    return await unit.find(
        select(IdentificationDecision)
        .where(IdentificationDecision.case_id == case_id)
        .order_by(IdentificationDecision.number.desc())
        .limit(1)
    )
