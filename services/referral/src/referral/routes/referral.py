from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from common.auth import Principal
from common.codelists import all_codes
from common.http import (
    CurrentPrincipal,
    Filter,
    Filters,
    IfMatch,
    Page,
    PageDep,
    UnitDep,
    page,
    router,
)
from referral.commands import referral as commands
from referral.domain.referral import ReceiverView
from referral.models import Referral
from referral.queries import referral as queries
from referral.queries.disclosure import open_notes, record_reading
from referral.routes.calendar import CalendarDep
from referral.schemas.referral import (
    Direction,
    ReferralCancel,
    ReferralCreate,
    ReferralItem,
    ReferralPreview,
    ReferralRead,
    ReferralResubmit,
)

referrals = router(prefix="/v1/referrals", tags=["referrals"])

FILTERS = Filters(
    status=Filter(Referral.status, "code", all_codes("referral_statuses")),
    urgency=Filter(Referral.urgency, "code", all_codes("urgency")),
    service_type=Filter(Referral.service_type, "code", all_codes("service_types")),
    respond_by=Filter(Referral.respond_by, "time"),
)


@referrals.post("", status_code=201)
async def draft_referral(
    body: ReferralCreate, unit: UnitDep, principal: CurrentPrincipal, calendar: CalendarDep
) -> ReferralItem:
    """Draft a referral of a case to an organisation of the same country, under an id of your choice.

    The organisation that owns the case may refer it, and so may one that has the case in service by
    a referral it accepted: no order of measures is forced. Nobody else sees a
    draft. `409 referral.case_unknown`: this service has not heard of the case, or it is not yours to
    refer; news of a case just opened takes a moment, so try again. `409 ownership.not_here`: another
    country has the case, or is being offered it. The note is sealed.
    """
    referral = await commands.draft_referral(unit, body, principal=principal, calendar=calendar)
    return _read(referral, principal)


@referrals.get("", openapi_extra=FILTERS.openapi)
async def list_referrals(
    request: Request,
    unit: UnitDep,
    principal: CurrentPrincipal,
    page_request: PageDep,
    *,
    direction: Annotated[
        Direction | None, Query(description="Only what your organisation sent, or received")
    ] = None,
    case_id: Annotated[
        UUID | None, Query(description="Only referrals of this case, where you may know the case")
    ] = None,
) -> Page[ReferralItem]:
    """List the referrals your organisation sent or received, the newest first; codes only.

    A received referral shows no case before it was acknowledged, and nothing of the person and no
    reason once it was called off: what `GET` of the one shows. The contact point and the coordinator see every submitted referral of the country
    in that reduced form, so that an expired one (`status=EXPIRED`) finds somebody.
    """
    statement = queries.list_referrals(
        principal, direction=direction.side if direction else None, case_id=case_id
    )
    return await page(
        unit,
        FILTERS.apply(statement, request),
        page_request,
        lambda row: _read(row, principal),
        time=Referral.recorded_at,
        id=Referral.id,
    )


@referrals.get("/{referral_id}")
async def get_referral(
    referral_id: UUID, unit: UnitDep, principal: CurrentPrincipal, calendar: CalendarDep
) -> ReferralRead | ReferralPreview:
    """Read one referral: the sender sees all of it, the receiver a preview until it acknowledges.

    The preview tells need, age band, sex, languages and urgency, and neither case nor note. After
    acknowledgement the receiver reads the notes as long as consents cover it that day; `note` and
    `reason_note` are null otherwise. A free text may hold anything, so both are null to a role that
    may not know every data group, on either side (see the note of a case); a role that may not know
    IDENTITY is shown the preview at any time. What was asked for is of no data group: purpose, codes
    and reason. `sex` and `age_group` are those of the last sending (of a draft: of its drafting). A
    sender that had the case by a referral loses it when the consent to that one is withdrawn: of what
    it had passed on it keeps the preview, with nothing of the person. Every reading is recorded
    before the answer leaves.
    """
    referral = unit.shows(await queries.get_referral(unit, referral_id, principal=principal))
    view = queries.view_of(referral, principal)
    if view is not ReceiverView.FULL:
        record_reading(unit, referral)
        return ReferralPreview.of(referral, view)
    notes = await open_notes(unit, referral, principal=principal, on=calendar.today)
    return ReferralRead.of(referral, note=notes.note, reason_note=notes.reason_note)


@referrals.post("/{referral_id}/submit")
async def submit_referral(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Send a draft to its receiver, who then has until `respond_by` to decide.

    `403 consent.missing` unless consents that hold today cover the receiver, the purpose and every
    data group: SHARE_NATIONAL for a named organisation, SHARE_LAW_ENFORCEMENT for police and
    prosecution; for a child the guardian's (IOM data protection principle 5: explicit consent,
    specific purpose). A consent just recorded takes a moment to arrive: `case_version` of the refusal
    is the newest version of the case known here. While it is below the ETag with which intake
    answered your consent, try again; from then on the consent does not cover it. `409 service.not_eligible` when the service named does not take this person.
    `409 referral.sender_without_case` when the case is no longer yours or in your service. The
    receiver is shown `sex` and `age_group` as they are known now. Deadlines by urgency: see the
    referral rules.
    """
    referral = await commands.submit_referral(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


@referrals.post("/{referral_id}/resubmit")
async def resubmit_referral(
    referral_id: UUID,
    body: ReferralResubmit,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Send a returned referral again; a new note replaces the old one, and the time starts anew.

    Consent, eligibility and whether you still have the case are checked again, as they are on that
    day and as far as known here (see submit); `sex` and `age_group` are brought up to date.
    """
    referral = await commands.resubmit_referral(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


@referrals.post("/{referral_id}/cancel")
async def cancel_referral(
    referral_id: UUID,
    body: ReferralCancel,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Recall a referral, at any time before it is completed.

    The person may refuse a referral at any time (Bulgarian NRM 1.4). The receiver keeps the fact and
    the date and sees nothing of the person any more, nor why, unless consent was withdrawn; a place
    it held is free again.
    """
    referral = await commands.cancel_referral(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


def _read(referral: Referral, principal: Principal) -> ReferralItem:
    return ReferralItem.of(referral, queries.view_of(referral, principal))
