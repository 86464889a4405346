"""Ends of a referral that nobody asks for: the clock's, and a withdrawn consent's."""

from datetime import date
from typing import Any
from uuid import UUID

from common.clock import utcnow
from common.contracts.referral import (
    CONSENT_WITHDRAWN,
    ReferralConsentWithdrawn,
)
from common.events import EventData
from common.here import Here
from common.unit import Unit
from referral.commands.steps import (
    close_to_receiver,
    close_to_sender,
    event_of,
    release_places,
    take_step,
)
from referral.domain.onward import fall_with
from referral.domain.referral import OPEN, Action, Side, has_expired, next_status
from referral.models import KnownCase, Referral
from referral.queries import referral as queries


async def expire_referral(unit: Unit, referral_id: UUID, *, here: Here) -> None:
    """End a referral whose time to decide is over; nothing happens if it was decided meanwhile."""
    referral = await queries.find_referral(unit, referral_id)
    if referral is None or referral.respond_by is None:
        return
    if has_expired(referral.status, referral.respond_by, utcnow()):
        status = next_status(referral.status, Action.EXPIRE, sides={Side.CLOCK})
        take_step(unit, referral, status, here.today)


async def withdraw_from_referrals(
    unit: Unit, case: KnownCase, consent_id: UUID, *, on: date
) -> None:
    """Take a consent that was withdrawn on the day `on` from all referrals that rest on it.

    An open one is cancelled. The person may refuse a referral at any time before it is completed
    (Bulgarian NRM 1.4), so another consent that happens to cover the same does not keep it: the
    sender may refer anew. One that has ended stays as it ended, and the withdrawal is told of it
    when the receiver had learnt who the person is: it travels to every recipient (domain.md
    section 4). A receiver that has the case no more can pass it on no more either: what it sent is
    cancelled with it, and of all it ever sent of the case it keeps only the fact and the date.
    """
    referrals = await queries.list_of_case(unit, case.case_id)
    resting = {
        referral.id
        for referral in referrals
        if referral.consent_withdrawn_on is None and str(consent_id) in referral.consent_ids
    }
    fallen = fall_with(referrals, resting, owner=case.organisation_id)
    await release_places(
        unit, [r for r in referrals if r.id in fallen.to_receiver and r.status in OPEN]
    )
    for referral in referrals:
        is_shut = referral.id in fallen.to_sender and referral.closed_to_sender_on is None
        shut: dict[str, Any] = {"closed_to_sender_on": on} if is_shut else {}
        if referral.id in fallen.to_receiver and referral.status in OPEN:
            # In the sender's name: it is the sender who asked the person, and who would cancel.
            status = next_status(
                referral.status, Action.CANCEL, sides={Side.SENDER}, reason=CONSENT_WITHDRAWN
            )
            take_step(unit, referral, status, on, CONSENT_WITHDRAWN, is_shut=is_shut, **shut)
        elif referral.id in fallen.to_receiver and referral.acknowledged_at is not None:
            kind, status = ReferralConsentWithdrawn, referral.status
            withdrawn = event_of(kind, referral, status, on, CONSENT_WITHDRAWN)
            told: list[EventData] = [withdrawn, *close_to_receiver(unit, referral, status)]
            if is_shut or referral.closed_to_sender_on is not None:
                told = close_to_sender(unit, referral, status, told)
            _tell(unit, referral, *told, consent_withdrawn_on=on, **shut)
        elif is_shut:
            _tell(unit, referral, *close_to_sender(unit, referral, referral.status, []), **shut)


def _tell(unit: Unit, referral: Referral, *told: EventData, **changed: Any) -> None:
    """Hand over what a withdrawal changes of a referral that has ended; its status stays."""
    unit.change(
        Referral,
        referral,
        *told,
        also=referral.receiving_organisation_id,
        about=referral.case_id,
        updated_at=utcnow(),
        **changed,
    )
