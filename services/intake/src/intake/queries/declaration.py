from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from common.errors import NotFoundError
from common.unit import Unit
from intake.models import Declaration


async def list_standing(unit: Unit, case_id: UUID) -> Sequence[Declaration]:
    """Return what the person of a case has declared and not withdrawn, oldest first, sealed."""
    return await unit.list(
        select(Declaration)
        .where(Declaration.case_id == case_id, Declaration.withdrawn_at.is_(None))
        .order_by(Declaration.recorded_at, Declaration.id)
    )


async def get_declaration(unit: Unit, case_id: UUID, declaration_id: UUID) -> Declaration:
    """Return one declaration of a case, a withdrawn one too; NotFoundError."""
    declaration = await unit.find(
        select(Declaration).where(Declaration.id == declaration_id, Declaration.case_id == case_id)
    )
    if declaration is None:
        raise NotFoundError
    return declaration
