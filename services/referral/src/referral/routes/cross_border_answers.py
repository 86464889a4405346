"""What the receiving country does with a referral from another."""

from uuid import UUID

from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from referral.commands import cross_border as commands
from referral.domain.cross_border import Move
from referral.routes.calendar import CalendarDep, SayingDep
from referral.routes.cross_border import read
from referral.schemas.cross_border import (
    CrossBorderAccept,
    CrossBorderDecline,
    CrossBorderRead,
    CrossBorderReturn,
)

answers = router(prefix="/v1/cross-border-referrals/{referral_id}", tags=["cross-border referrals"])


@answers.post("/acknowledge")
async def acknowledge_cross_border_referral(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Confirm that a referral has arrived, which opens the offer. It is no decision yet."""
    row = await commands.acknowledge_cross_border(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)


@answers.post("/return")
async def return_cross_border_referral(
    referral_id: UUID,
    body: CrossBorderReturn,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Ask the sending country for more before deciding."""
    row = await commands.move_for_reason(
        unit,
        referral_id,
        Move.RETURN,
        body.reason,
        principal=principal,
        expected=expected,
        calendar=calendar,
    )
    return read(row, principal)


@answers.post("/accept")
async def accept_cross_border_referral(
    referral_id: UUID,
    body: CrossBorderAccept,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Take the person in, in the name of an organisation of this country's directory.

    The sending country then releases her data, sealed from register to register.
    """
    row = await commands.accept_cross_border(
        unit, referral_id, body, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)


@answers.post("/decline")
async def decline_cross_border_referral(
    referral_id: UUID,
    body: CrossBorderDecline,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: CalendarDep,
) -> CrossBorderRead:
    """Refuse with a reason; what was shown of the person is forgotten here."""
    row = await commands.move_for_reason(
        unit,
        referral_id,
        Move.DECLINE,
        body.reason,
        principal=principal,
        expected=expected,
        calendar=calendar,
    )
    return read(row, principal)


@answers.post("/confirm-arrival")
async def confirm_arrival(
    referral_id: UUID,
    unit: UnitDep,
    principal: CurrentPrincipal,
    *,
    expected: IfMatch,
    calendar: SayingDep,
) -> CrossBorderRead:
    """Say that the person has arrived; the sending country may then hand the case over.

    `409 cross_border.case_missing` while this country's register has no case of her: ask the sending
    country to release her data, or to release them again.
    """
    row = await commands.confirm_arrival(
        unit, referral_id, principal=principal, expected=expected, calendar=calendar
    )
    return read(row, principal)
