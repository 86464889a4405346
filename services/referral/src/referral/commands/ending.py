"""Ends of a referral that nobody asks for: the clock's, and a withdrawn consent's."""

from datetime import date
from uuid import UUID

from common.clock import utcnow
from common.unit import Unit
from referral.commands.steps import release_places, take_step
from referral.domain.calendar import Calendar
from referral.domain.referral import Action, Side, has_expired, next_status
from referral.queries import referral as queries

WITHDRAWN = "CONSENT_WITHDRAWN"


async def expire_referral(unit: Unit, referral_id: UUID, *, calendar: Calendar) -> None:
    """End a referral whose time to decide is over; nothing happens if it was decided meanwhile."""
    referral = await queries.find_referral(unit, referral_id)
    if referral is None or referral.respond_by is None:
        return
    if has_expired(referral.status, referral.respond_by, utcnow()):
        status = next_status(referral.status, Action.EXPIRE, sides={Side.CLOCK})
        take_step(unit, referral, status, calendar.today)


async def call_off_referrals(unit: Unit, case_id: UUID, consent_id: UUID, *, on: date) -> None:
    """Cancel every open referral that rests on a consent which was withdrawn on the day `on`.

    The person may refuse a referral at any time before it is completed (Bulgarian NRM 1.4), so
    another consent that happens to cover the same does not keep it: the sender may refer anew.
    """
    referrals = await queries.list_resting_on(unit, case_id, consent_id)
    await release_places(unit, referrals)
    for referral in referrals:
        # In the sender's name: it is the sender who asked the person, and who would cancel.
        status = next_status(referral.status, Action.CANCEL, sides={Side.SENDER}, reason=WITHDRAWN)
        take_step(unit, referral, status, on, WITHDRAWN)
