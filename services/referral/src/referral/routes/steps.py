"""What the receiver of a referral answers. Any worker of the receiving organisation may."""

from uuid import UUID

from common.auth import Principal
from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from referral.commands import answer as commands
from referral.models import Referral
from referral.queries.referral import view_of
from referral.routes.calendar import CalendarDep
from referral.schemas.referral import ReferralDecline, ReferralItem, ReferralReturn

steps = router(prefix="/v1/referrals/{referral_id}", tags=["referrals"])


@steps.post("/acknowledge")
async def acknowledge_referral(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Confirm that a referral has arrived; the receiver then sees which case it is, and the note.

    Consent is checked as it is that day (`403 consent.missing`; what is missing is told to the sender
    only, see submit), and `409 referral.sender_without_case` says that the sender may pass the person on no more. The case
    itself opens with the acceptance. An acknowledgement is no decision: `respond_by` goes on.
    """
    referral = await commands.acknowledge_referral(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


@steps.post("/return_for_info")
async def return_referral(
    referral_id: UUID,
    body: ReferralReturn,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Ask the sender for more before deciding. The clock stops until the sender sends it again."""
    referral = await commands.return_referral(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


@steps.post("/accept")
async def accept_referral(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Take the person into the service. A reintegration plan is opened for the case if it has none.

    Consent and sender are checked once more as they are that day (see acknowledge; news of a consent
    takes a moment), and so takes the plan and the case to open to you. Where the service counts
    places one is taken, and `409 service.not_eligible` says that none is left.
    """
    referral = await commands.accept_referral(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


@steps.post("/decline")
async def decline_referral(
    referral_id: UUID,
    body: ReferralDecline,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Refuse a referral with a coded reason, and name another service that may help.

    What the receiver learnt of the person is closed to it again.
    """
    referral = await commands.decline_referral(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


@steps.post("/complete")
async def complete_referral(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> ReferralItem:
    """Say that what the referral asked for was done; a place it held is free again."""
    referral = await commands.complete_referral(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return _read(referral, principal)


def _read(referral: Referral, principal: Principal) -> ReferralItem:
    return ReferralItem.of(referral, view_of(referral, principal))
