"""What every step of a referral is made of."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.columns import Sealed
from common.contracts.referral import (
    CONSENT_WITHDRAWN,
    EVENT_BY_STATUS,
    ReferralClosedToReceiver,
    ReferralClosedToSender,
    ReferralEvent,
)
from common.errors import ConflictError
from common.events import EventData
from common.unit import Unit
from referral.commands.directory import change_service
from referral.domain.directory import give_back_places, take_place
from referral.domain.onward import TAKEN_ON, is_held
from referral.domain.referral import (
    Action,
    ReferralStatus,
    keeps_only_the_fact,
    next_status,
)
from referral.models import KnownCase, Organisation, Referral
from referral.queries import directory
from referral.queries import referral as queries


async def load(unit: Unit, referral_id: UUID, principal: Principal, expected: int) -> Referral:
    referral = await queries.get_for_step(unit, referral_id, principal=principal)
    return unit.shows(referral, expected)


def next_status_of(
    referral: Referral, action: Action, principal: Principal, reason: str | None = None
) -> ReferralStatus:
    sides = queries.sides_of(referral, principal)
    return next_status(referral.status, action, sides=sides, reason=reason)


def take_step(
    unit: Unit,
    referral: Referral,
    status: ReferralStatus,
    on: date,
    reason: str | None = None,
    *,
    is_shut: bool = False,
    **changed: Any,
) -> Referral:
    """Hand over the referral in its new status with the event that tells of the step.

    `is_shut`: its sender loses it with the step, and is told that alone. `reason` and `reason_note` are those of the last step: without new ones the old ones go.
    """
    columns = {"reason_note": None, **changed}
    if reason == CONSENT_WITHDRAWN:
        columns["consent_withdrawn_on"] = on
    told: list[EventData] = [event_of(EVENT_BY_STATUS[status], referral, status, on, reason)]
    if keeps_only_the_fact(status, is_withdrawn=reason == CONSENT_WITHDRAWN):
        told += close_to_receiver(unit, referral, status)
    if is_shut:
        told = close_to_sender(unit, referral, status, told)
    return unit.change(
        Referral,
        referral,
        *told,
        also=referral.receiving_organisation_id,
        about=referral.case_id,
        status=status,
        reason=reason,
        updated_at=utcnow(),
        **columns,
    )


def close_to_receiver(
    unit: Unit, referral: Referral, status: ReferralStatus
) -> list[ReferralClosedToReceiver]:
    """Take what was told of a referral out of the receiver's feed; return what it is told instead.

    Nothing where it had not acknowledged: it was told nothing before.
    """
    unit.withhold(referral.id, other_organisation_id=referral.receiving_organisation_id)
    if referral.acknowledged_at is None:
        return []
    return [ReferralClosedToReceiver(referral_id=referral.id, status=status)]


def close_to_sender(
    unit: Unit, referral: Referral, status: ReferralStatus, told: Sequence[EventData]
) -> list[EventData]:
    """Take what was told of a referral out of the sender's feed; return what is told from now on.

    Of `told`, what the sender would read goes to the services alone. That it lost the case it is
    told once.
    """
    sender = referral.sending_organisation_id
    unit.withhold(referral.id, organisation_id=sender)
    closed = ReferralClosedToSender(
        referral_id=referral.id, sending_organisation_id=sender, status=status
    )
    hidden = [each.for_nobody() if sender in each.readers() else each for each in told]
    return hidden if referral.closed_to_sender_on is not None else [*hidden, closed]


def event_of(
    kind: type[ReferralEvent],
    referral: Referral,
    status: ReferralStatus,
    on: date,
    reason: str | None,
) -> ReferralEvent:
    return kind(
        referral_id=referral.id,
        case_id=referral.case_id,
        sending_organisation_id=referral.sending_organisation_id,
        receiving_organisation_id=referral.receiving_organisation_id,
        service_type=referral.service_type,
        urgency=referral.urgency,
        status=status,
        previous_status=referral.status,
        reason=reason,
        on=on,
    )


async def parties_of(unit: Unit, referral: Referral) -> tuple[KnownCase, Organisation]:
    case = await queries.find_case(unit, referral.case_id)
    if case is None:
        raise ConflictError("referral.case_unknown")
    return case, await directory.get_organisation(unit, referral.receiving_organisation_id)


def require_here(case: KnownCase) -> None:
    """Refuse to refer a case that another country has, or is being offered: `ownership.not_here`."""
    if case.given_epoch is not None:
        raise ConflictError("ownership.not_here")


async def require_sender(
    unit: Unit,
    referral: Referral,
    case: KnownCase,
    *,
    among: Collection[ReferralStatus] = TAKEN_ON,
) -> None:
    """Demand that the sender still has the case, also when the Unit is written.

    Its own, or one it got by a referral now in a status `among` these: who is done itself passes
    nobody on any more, but whom it has passed on may still be taken in. ConflictError
    `referral.sender_without_case`.
    """
    sender = referral.sending_organisation_id
    unit.require_unchanged(KnownCase, case_id=case.case_id, version=case.version)
    if case.organisation_id == sender:
        return
    for link in await queries.list_of_case(unit, case.case_id):
        if link.status in among and is_held([link], sender, owner=case.organisation_id):
            unit.require_unchanged(Referral, id=link.id, version=link.version)
            return
    raise ConflictError("referral.sender_without_case")


async def hold_place(unit: Unit, referral: Referral) -> bool:
    """Take a place of the service named; False when it counts none or none is named."""
    if referral.service_id is None:
        return False
    service = await directory.find_service(unit, referral.service_id)
    if service is None or service.free_places is None:
        return False
    change_service(unit, service, free_places=take_place(service.free_places))
    return True


async def release_places(unit: Unit, referrals: Sequence[Referral]) -> None:
    # Counted by service: each row may be changed once in a Unit.
    held = Counter(r.service_id for r in referrals if r.holds_place and r.service_id)
    for service_id, count in held.items():
        service = await directory.find_service(unit, service_id)
        if service and service.capacity is not None and service.free_places is not None:
            free = give_back_places(service.capacity, service.free_places, count)
            change_service(unit, service, free_places=free)


async def seal(
    unit: Unit, case_id: UUID, referral_id: UUID, column: str, text: str | None
) -> Sealed | None:
    """Seal a free text about a case for a column of its referral; None stays None.

    ConflictError `referral.case_unknown` when the case was erased: nothing is written of it any more.
    """
    if text is None:
        return None
    box = await unit.box(case_id)
    if box is None:
        raise ConflictError("referral.case_unknown")
    return box.seal(text, table=Referral.__tablename__, row=referral_id, column=column)
