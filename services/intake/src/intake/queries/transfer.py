from uuid import UUID

from sqlalchemy import bindparam, select

from common.auth import Principal
from common.contracts.intake import PackageErased
from common.errors import NotFoundError
from common.tables import OutboxMessage
from common.unit import AnySelect, Unit
from intake.domain.transfer import SENT
from intake.models import Case, CaseOrigin, KnownTransfer, PackageRelease
from intake.queries import case as cases
from intake.queries.reference import HiddenReferenceError

_TRANSFER = select(KnownTransfer).where(KnownTransfer.referral_id == bindparam("referral_id"))
_ORIGIN = select(CaseOrigin).where(CaseOrigin.case_id == bindparam("case_id"))
_CAME_BY: AnySelect = (
    select(Case)
    .join(CaseOrigin, CaseOrigin.case_id == Case.id)
    .where(CaseOrigin.referral_id == bindparam("referral_id"))
)
_GIVEN_BY = select(Case).where(Case.given_by == bindparam("referral_id"))


async def find_transfer(unit: Unit, referral_id: UUID) -> KnownTransfer | None:
    """Return what is known of a referral to or from another country; None before it was heard of."""
    return await unit.find(_TRANSFER, referral_id=referral_id)


async def get_sent(unit: Unit, case: Case, referral_id: UUID, *, pointer: str) -> KnownTransfer:
    """Return the referral by which a case goes to another country, named in the field `pointer`.

    HiddenReferenceError for one that is not of this case.
    """
    found = await find_transfer(unit, referral_id)
    if found is None or found.direction != SENT or found.case_id != case.id:
        raise HiddenReferenceError(model=KnownTransfer, id=referral_id, pointer=pointer)
    return found


async def find_received(unit: Unit, referral_id: UUID) -> Case | None:
    """Return the case that came from another country by a referral."""
    found: Case | None = await unit.find(_CAME_BY, referral_id=referral_id)
    return found


async def find_given(unit: Unit, referral_id: UUID) -> Case | None:
    """Return the case that was last given away by a referral."""
    return await unit.find(_GIVEN_BY, referral_id=referral_id)


async def is_released(unit: Unit, referral_id: UUID) -> bool:
    """Tell whether the person's data were sent to the other country of a referral."""
    return bool(
        await unit.rows(
            select(PackageRelease.id).where(PackageRelease.referral_id == referral_id).limit(1)
        )
    )


async def is_package_erased(unit: Unit, referral_id: UUID) -> bool:
    """Tell whether others were told that no case is here by a referral; see PackageErased."""
    told = OutboxMessage.subject == referral_id, OutboxMessage.type == PackageErased.type
    return bool(await unit.rows(select(OutboxMessage.id).where(*told).limit(1)))


async def find_origin(unit: Unit, case_id: UUID) -> CaseOrigin | None:
    """Return how a case came from another country; None for one that was opened here."""
    return await unit.find(_ORIGIN, case_id=case_id)


async def get_origin(unit: Unit, case_id: UUID, *, principal: Principal) -> CaseOrigin:
    """Return how a case open to the caller came here; NotFoundError for one that was opened here."""
    await cases.get_case(unit, case_id, principal=principal)
    origin = await find_origin(unit, case_id)
    if origin is None:
        raise NotFoundError
    return origin
