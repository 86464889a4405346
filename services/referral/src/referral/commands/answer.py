"""What the receiver answers to a referral."""

from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.errors import ForbiddenError, InvalidError
from common.unit import Unit
from referral.commands.consent import rest_on_consent
from referral.commands.steps import (
    hold_place,
    load,
    next_status_of,
    parties_of,
    release_places,
    require_sender,
    seal,
    take_step,
)
from referral.domain.calendar import Calendar
from referral.domain.referral import Action
from referral.models import Referral
from referral.queries import directory
from referral.schemas.referral import ReferralDecline, ReferralReturn


async def acknowledge_referral(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> Referral:
    """Take note of a referral, which opens the case's id and the note to the receiver.

    Raises what `accept_referral` raises, but for the place.
    """
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.ACKNOWLEDGE, principal)
    consent_ids = await _disclose(unit, referral, calendar)
    return take_step(
        unit,
        referral,
        status,
        calendar.today,
        consent_ids=consent_ids,
        acknowledged_at=utcnow(),
    )


async def return_referral(
    unit: Unit,
    referral_id: UUID,
    answer: ReferralReturn,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> Referral:
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.RETURN_FOR_INFO, principal, answer.reason)
    note = await seal(unit, referral.case_id, referral.id, "reason_note", answer.note)
    return take_step(unit, referral, status, calendar.today, answer.reason, reason_note=note)


async def accept_referral(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> Referral:
    """Take the person in; a counted place of the service named is taken with it.

    Raises ForbiddenError `consent.missing`, and says no more of it, when the consents have ended since
    the submission or the receiver has become one of a kind they do not cover, and ConflictError
    `referral.sender_without_case` when the sender has the case no more, `service.not_eligible` with
    PLACES when no place is left.
    """
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.ACCEPT, principal)
    consent_ids = await _disclose(unit, referral, calendar)
    holds_place = await hold_place(unit, referral)
    return take_step(
        unit,
        referral,
        status,
        calendar.today,
        consent_ids=consent_ids,
        holds_place=holds_place,
    )


async def decline_referral(
    unit: Unit,
    referral_id: UUID,
    answer: ReferralDecline,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> Referral:
    """Refuse; InvalidError `service.unknown` when the service suggested instead is not listed."""
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.DECLINE, principal, answer.reason)
    suggested = answer.suggested_service_id
    if suggested is not None and await directory.find_service(unit, suggested) is None:
        raise InvalidError("service.unknown", pointer="/suggested_service_id")
    note = await seal(unit, referral.case_id, referral.id, "reason_note", answer.note)
    return take_step(
        unit,
        referral,
        status,
        calendar.today,
        answer.reason,
        reason_note=note,
        suggested_service_id=suggested,
    )


async def complete_referral(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> Referral:
    """End the service the referral asked for; a place it held is free again."""
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.COMPLETE, principal)
    await release_places(unit, [referral])
    return take_step(unit, referral, status, calendar.today)


async def _disclose(unit: Unit, referral: Referral, calendar: Calendar) -> list[str]:
    """Return the consents on which the receiver learns more of the person today."""
    case, receiver = await parties_of(unit, referral)
    await require_sender(unit, referral, case)
    try:
        return await rest_on_consent(unit, referral, case, receiver, on=calendar.today)
    except ForbiddenError:
        # Whom to ask tells a child from an adult, and what is missing tells what was agreed to: that
        # is the sender's, who asks the person.
        raise ForbiddenError("consent.missing") from None
