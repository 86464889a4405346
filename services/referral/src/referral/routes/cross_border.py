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
from common.http.peers import PeersDep
from common.unit import Unit
from referral.commands import cross_border as commands
from referral.domain.cross_border import Direction, Move
from referral.models import CrossBorderReferral
from referral.queries import cross_border as queries
from referral.queries.letters import list_custody
from referral.routes.calendar import CalendarDep, SayingDep
from referral.schemas.cross_border import (
    CrossBorderCancel,
    CrossBorderCreate,
    CrossBorderRead,
    CrossBorderResubmit,
    CustodyRead,
    TransferFail,
    TransferPlanned,
)

cross_border = router(prefix="/v1/cross-border-referrals", tags=["cross-border referrals"])

FILTERS = Filters(
    status=Filter(CrossBorderReferral.status, "code", all_codes("cross_border_statuses")),
    direction=Filter(CrossBorderReferral.direction, "code", frozenset(Direction)),
    peer_country=Filter(CrossBorderReferral.peer_country, "code"),
    urgency=Filter(CrossBorderReferral.urgency, "code", all_codes("urgency")),
    respond_by=Filter(CrossBorderReferral.respond_by, "time"),
)


@cross_border.post("", status_code=201)
async def draft_cross_border_referral(
    body: CrossBorderCreate,
    unit: UnitDep,
    principal: CurrentPrincipal,
    calendar: CalendarDep,
    peers: PeersDep,
) -> CrossBorderRead:
    """Draft a referral of your organisation's own case to another country, under an id of your choice.

    `422 peer.unknown`: this country exchanges referrals with others only. `409 referral.case_unknown`:
    this service has not heard of the case, or it is not yours; news of a case just opened takes a
    moment. `409 ownership.not_here`: another country has the case, or is being offered it. Nobody
    outside your organisation sees a draft.
    """
    row = await commands.draft_cross_border(
        unit, body, principal=principal, calendar=calendar, peers=peers.countries
    )
    return read(row, principal)


@cross_border.get("", openapi_extra=FILTERS.openapi)
async def list_cross_border_referrals(
    request: Request,
    unit: UnitDep,
    principal: CurrentPrincipal,
    page_request: PageDep,
    *,
    case_id: Annotated[
        UUID | None, Query(description="Only referrals of this case, where you may know the case")
    ] = None,
) -> Page[CrossBorderRead]:
    """List the referrals to and from other countries, the newest first.

    Your organisation's own, those by which it takes somebody in, and for the contact point and the
    coordinator all that were sent or received. Each is shown as `GET` of the one shows it.
    """
    return await page(
        unit,
        FILTERS.apply(queries.list_cross_border(principal, case_id=case_id), request),
        page_request,
        lambda row: read(row, principal),
        time=CrossBorderReferral.recorded_at,
        id=CrossBorderReferral.id,
    )


@cross_border.get("/{referral_id}")
async def get_cross_border_referral(
    referral_id: UUID, unit: UnitDep, principal: CurrentPrincipal
) -> CrossBorderRead:
    """Read one referral; every reading is recorded before the answer leaves."""
    row = unit.shows(await queries.get_cross_border(unit, referral_id, principal=principal))
    _record_reading(unit, row)
    return read(row, principal)


@cross_border.get("/{referral_id}/custody")
async def get_custody(referral_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> CustodyRead:
    """Read the chain of custody: what both countries have said of the referral, signed by each.

    A statement of this country that was just made appears once it is signed, which takes a moment.
    `404` in the receiving country before it has acknowledged and once the referral was called off:
    the chain tells how far it came.
    """
    row = unit.shows(await queries.get_for_custody(unit, referral_id, principal=principal))
    _record_reading(unit, row)
    return CustodyRead(statements=await list_custody(unit, row.id))


@cross_border.post("/{referral_id}/submit")
async def submit_cross_border_referral(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Send the offer: age band, sex, needs, languages and urgency, and nothing else.

    `409 peer.no_own_key`, here and at each step that takes a referral further: this country's own keys
    have ended, so nothing it says could be signed. A referral can be called off all the same.
    `409 cross_border.not_ready` names in `lacking` what is missing: a risk or needs assessment younger
    than 30 days, the guardian of a child, the legal basis of the transfer. `403 consent.missing` unless
    consents that hold today to share across the border (SHARE_CROSS_BORDER) cover the receiver, the
    country, the purpose and every data group. The other country has until `respond_by` to decide.
    """
    row = await commands.submit_cross_border(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)


@cross_border.post("/{referral_id}/resubmit")
async def resubmit_cross_border_referral(
    referral_id: UUID,
    body: CrossBorderResubmit,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Send a returned referral again with what has changed; all is checked as for the first time."""
    row = await commands.resubmit_cross_border(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)


@cross_border.post("/{referral_id}/plan-transfer")
async def plan_transfer(
    referral_id: UUID,
    body: TransferPlanned,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Plan the journey of an accepted person.

    `422 cross_border.not_safe` points at the condition that is not met: one of the preconditions of a
    safe return, the person's informed decision, her part in the planning, her travel documents.
    """
    row = await commands.plan_transfer(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)


@cross_border.post("/{referral_id}/depart")
async def depart(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Say that the person is on her way."""
    row = await commands.depart(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)


@cross_border.post("/{referral_id}/fail")
async def fail_transfer(
    referral_id: UUID,
    body: TransferFail,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> CrossBorderRead:
    """Say that the journey failed; either side may, and the receiving country erases what it has of her.

    Where that country has confirmed her arrival at the same time, she has arrived.
    """
    row = await commands.move_for_reason(
        unit,
        referral_id,
        Move.FAIL,
        body.reason,
        principal=principal,
        expected=expected,
        calendar=calendar,
    )
    return read(row, principal)


@cross_border.post("/{referral_id}/cancel")
async def cancel_cross_border_referral(
    referral_id: UUID,
    body: CrossBorderCancel,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> CrossBorderRead:
    """Call a referral off, before the person travels or after the journey failed.

    The other country erases what it has of the person, says so, and keeps only the fact and the date.
    """
    row = await commands.move_for_reason(
        unit,
        referral_id,
        Move.CANCEL,
        body.reason,
        principal=principal,
        expected=expected,
        calendar=calendar,
    )
    return read(row, principal)


def read(row: CrossBorderReferral, principal: Principal) -> CrossBorderRead:
    return CrossBorderRead.of(
        row, queries.view_of(row, principal), knows_case=queries.knows_case(row, principal)
    )


def _record_reading(unit: Unit, row: CrossBorderReferral) -> None:
    unit.audit("read", CrossBorderReferral.__tablename__, [str(row.id)], about=row.case_id)
