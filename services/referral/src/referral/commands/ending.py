"""Ends of a referral that nobody asks for: the clock's, and a withdrawn consent's."""

from datetime import date
from uuid import UUID

from common.clock import utcnow
from common.contracts.referral import CONSENT_WITHDRAWN, ReferralConsentWithdrawn
from common.here import Here
from common.unit import Unit
from referral.commands.steps import event_of, release_places, take_step
from referral.domain.referral import SENT_AND_OPEN, Action, Side, has_expired, next_status
from referral.models import Referral
from referral.queries import referral as queries


async def expire_referral(unit: Unit, referral_id: UUID, *, here: Here) -> None:
    """End a referral whose time to decide is over; nothing happens if it was decided meanwhile."""
    referral = await queries.find_referral(unit, referral_id)
    if referral is None or referral.respond_by is None:
        return
    if has_expired(referral.status, referral.respond_by, utcnow()):
        status = next_status(referral.status, Action.EXPIRE, sides={Side.CLOCK})
        take_step(unit, referral, status, here.today)


async def withdraw_from_referrals(unit: Unit, case_id: UUID, consent_id: UUID, *, on: date) -> None:
    """Take a consent that was withdrawn on the day `on` from all referrals that rest on it.

    An open one is cancelled. The person may refuse a referral at any time before it is completed
    (Bulgarian NRM 1.4), so another consent that happens to cover the same does not keep it: the
    sender may refer anew. One that has ended stays as it ended, and the withdrawal is told of it
    when the receiver had learnt who the person is: it travels to every recipient (domain.md
    section 4).
    """
    referrals = await queries.list_resting_on(unit, case_id, consent_id)
    still_open = [referral for referral in referrals if referral.status in SENT_AND_OPEN]
    await release_places(unit, still_open)
    for referral in still_open:
        # In the sender's name: it is the sender who asked the person, and who would cancel.
        status = next_status(
            referral.status, Action.CANCEL, sides={Side.SENDER}, reason=CONSENT_WITHDRAWN
        )
        take_step(unit, referral, status, on, CONSENT_WITHDRAWN)
    for referral in referrals:
        if referral.status not in SENT_AND_OPEN and referral.acknowledged_at is not None:
            told = event_of(
                ReferralConsentWithdrawn, referral, referral.status, on, CONSENT_WITHDRAWN
            )
            unit.withhold(referral.id, other_organisation_id=referral.receiving_organisation_id)
            unit.change(
                Referral,
                referral,
                told,
                about=referral.case_id,
                consent_withdrawn_on=on,
                updated_at=utcnow(),
            )
