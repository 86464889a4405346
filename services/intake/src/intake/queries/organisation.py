from uuid import UUID

from sqlalchemy import bindparam, select

from common.unit import Unit
from intake.models import KnownOrganisation

_ORGANISATION = select(KnownOrganisation).where(
    KnownOrganisation.organisation_id == bindparam("organisation_id")
)


async def find_kind(unit: Unit, organisation_id: UUID) -> str | None:
    """Return the kind of an organisation; None until the directory has told of it."""
    found = await unit.find(_ORGANISATION, organisation_id=organisation_id)
    return None if found is None else found.kind
