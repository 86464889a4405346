"""Erasing what is known of a person: the key goes, and with it all that was sealed under it."""

from datetime import date
from typing import Any
from uuid import UUID

from common.clock import utcnow
from common.contracts.intake import CaseErased, PackageErased
from common.unit import Unit
from intake.domain.case import CaseStatus
from intake.models import (
    Case,
    CaseIdentity,
    CaseMarker,
    CaseMarkerEnd,
    CaseOrigin,
    Declaration,
    IdentificationDecision,
)
from intake.queries.marker import list_markers
from intake.queries.transfer import find_origin, is_package_erased

_FORGOTTEN: dict[str, Any] = {
    "birth_date": None,
    "note": None,
    "estimated_age": None,
    "estimated_age_margin": None,
    "estimated_on": None,
    "citizenships": [],
    "languages": [],
    "occurred_at": None,
    "worker": None,
    "has_identity": False,
}
"""Columns of a case that say more of a person than a figure needs."""


async def erase_case(unit: Unit, case: Case, *, reason: str, on: date) -> None:
    """Leave a skeleton of the case: ids, codes and days, closed for good; see CaseErased.

    What its organisation was told of it goes from the feed too. Consents stay, as proof of what was
    agreed and withdrawn; so do the audit trail and the texts of notices, which are the reporters'.
    Backups and logs of the database keep the key until they are gone themselves.
    """
    await unit.shred(case.id)
    unit.remove(CaseIdentity, case_id=case.id)
    for marker in await list_markers(unit, case.id):
        unit.remove(CaseMarkerEnd, marker_id=marker.id)
    unit.remove(CaseMarker, case_id=case.id)
    unit.remove(Declaration, case_id=case.id)
    unit.update(IdentificationDecision, {"case_id": case.id}, note=None)
    origin = await find_origin(unit, case.id)
    if origin is not None:
        unit.update(CaseOrigin, {"case_id": case.id}, expect=1, exploitation_types=[], unmapped={})
    unit.withhold(case.id, organisation_id=case.organisation_id)
    erased = CaseErased(
        case_id=case.id,
        organisation_id=case.organisation_id,
        referral_id=None if origin is None else origin.referral_id,
        reason=reason,
        erased_on=on,
    )
    unit.change(
        Case,
        case,
        erased,
        about=case.id,
        **_FORGOTTEN,
        status=CaseStatus.CLOSED,
        erased_on=on,
        updated_at=utcnow(),
    )
    unit.audit("erase", Case.__tablename__, [str(case.id)], about=case.id)


async def say_package_erased(unit: Unit, referral_id: UUID, *, reason: str, on: date) -> None:
    """Tell, once, that no case is here by a referral called off or failed; see PackageErased.

    Its package could not be read or never came: there is no case whose erasure would be told.
    """
    if not await is_package_erased(unit, referral_id):
        gone = PackageErased(referral_id=referral_id, reason=reason, erased_on=on)
        unit.tell(referral_id, gone.for_nobody(), first_seq=1)
