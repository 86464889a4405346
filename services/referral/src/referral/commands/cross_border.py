"""What a country does with a referral to or from another."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.contracts.referral import CrossBorderChanged
from common.errors import ConflictError, InvalidError
from common.unit import Unit
from referral.commands.crossing import case_of_sender, load, rest_on_consent, take_move
from referral.domain.calendar import Calendar
from referral.domain.cross_border import (
    CrossBorderStatus,
    Direction,
    Move,
    Preparation,
    TransferPlan,
    next_status,
    require_prepared,
    require_safe,
)
from referral.domain.referral import RESPONSE_POLICY, Urgency, respond_by
from referral.models import CrossBorderReferral
from referral.queries import directory
from referral.schemas.cross_border import (
    CrossBorderAccept,
    CrossBorderCreate,
    CrossBorderResubmit,
    TransferPlanned,
)
from referral.schemas.letters import Accepted, Arrived, Offer, Planned, Reasoned


async def draft_cross_border(
    unit: Unit,
    draft: CrossBorderCreate,
    *,
    principal: Principal,
    calendar: Calendar,
    peers: Collection[str],
) -> CrossBorderReferral:
    """Draft a referral to another country.

    InvalidError `peer.unknown` for a country this one does not exchange with, ConflictError
    `referral.case_unknown` for a case that is not the caller's organisation's own.
    """
    if draft.peer_country not in peers:
        raise InvalidError("peer.unknown", pointer="/peer_country")
    case = await case_of_sender(unit, draft.case_id, principal.organisation_id)
    await unit.new_box(draft.id)
    columns: dict[str, Any] = {
        "direction": Direction.SENT,
        "peer_country": draft.peer_country,
        "case_id": case.case_id,
        "organisation_id": principal.organisation_id,
        "purpose": draft.purpose,
        "data_groups": _distinct(draft.data_groups),
        "urgency": draft.urgency,
        "status": CrossBorderStatus.DRAFT,
    }
    return unit.create(
        CrossBorderReferral,
        CrossBorderChanged(referral_id=draft.id, on=calendar.today, **columns),
        about=case.case_id,
        id=draft.id,
        **columns,
        sex=case.sex,
        age_group=case.age_group,
        needs=_distinct(draft.needs),
        languages=_distinct(draft.languages),
        requested_kind=draft.requested_kind,
        requested_organisation_id=draft.requested_organisation_id,
        trm_stage=draft.trm_stage,
        transfer_basis=draft.transfer_basis,
        risk_assessed_on=draft.risk_assessed_on,
        needs_assessed_on=draft.needs_assessed_on,
        guardian_appointed_on=draft.guardian_appointed_on,
        consent_ids=[],
    )


async def submit_cross_border(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> CrossBorderReferral:
    """Send the offer of a draft.

    ConflictError `cross_border.not_ready` names what the preparation lacks, ForbiddenError
    `consent.missing` what no consent covers, ConflictError `referral.case_unknown` says that the case
    is no longer the sender's.
    """
    row = await load(unit, referral_id, principal, expected)
    return await _send(unit, row, Move.SUBMIT, calendar)


async def resubmit_cross_border(
    unit: Unit,
    referral_id: UUID,
    answer: CrossBorderResubmit,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> CrossBorderReferral:
    """Send a returned referral again with what has changed; the time to decide starts anew."""
    row = await load(unit, referral_id, principal, expected)
    return await _send(unit, row, Move.RESUBMIT, calendar, **answer.model_dump(exclude_none=True))


async def _send(
    unit: Unit, row: CrossBorderReferral, move: Move, calendar: Calendar, **changed: Any
) -> CrossBorderReferral:
    def now_is(name: str) -> Any:  # noqa: ANN401
        return changed.get(name, getattr(row, name))

    next_status(row.status, move, direction=row.direction)  # said before what is lacking
    case = await case_of_sender(unit, row.case_id, row.organisation_id)
    require_prepared(
        Preparation(
            is_minor=case.is_minor,
            risk_assessed_on=now_is("risk_assessed_on"),
            needs_assessed_on=now_is("needs_assessed_on"),
            guardian_appointed_on=now_is("guardian_appointed_on"),
            transfer_basis=now_is("transfer_basis"),
        ),
        on=calendar.today,
    )
    consent_ids = await rest_on_consent(unit, row, case, on=calendar.today)
    now = utcnow()
    urgency = Urgency(now_is("urgency"))
    deadline = respond_by(now, urgency, zone=calendar.time_zone, holidays=calendar.holidays)
    offer = Offer(
        age_group=case.age_group,
        sex=case.sex,
        needs=tuple(now_is("needs")),
        languages=tuple(now_is("languages")),
        urgency=urgency,
    )
    return await take_move(
        unit,
        row,
        move,
        here=calendar,
        body=offer,
        submitted_at=now,
        respond_by=deadline,
        policy_version=RESPONSE_POLICY.version,
        sex=case.sex,
        age_group=case.age_group,
        consent_ids=consent_ids,
        **changed,
    )


async def plan_transfer(
    unit: Unit,
    referral_id: UUID,
    plan: TransferPlanned,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> CrossBorderReferral:
    """Plan the journey; InvalidError as of `domain.cross_border.require_safe`."""
    row = await load(unit, referral_id, principal, expected)
    next_status(row.status, Move.PLAN_TRANSFER, direction=row.direction)
    require_safe(TransferPlan(**plan.model_dump()), on=calendar.today)
    return await take_move(
        unit,
        row,
        Move.PLAN_TRANSFER,
        here=calendar,
        body=Planned(planned_on=plan.planned_on),
        precondition=plan.precondition,
        planned_on=plan.planned_on,
    )


async def depart(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> CrossBorderReferral:
    row = await load(unit, referral_id, principal, expected)
    return await take_move(unit, row, Move.DEPART, here=calendar)


async def move_for_reason(
    unit: Unit,
    referral_id: UUID,
    move: Move,
    reason: str,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> CrossBorderReferral:
    """Take a move of either country of which the other is told nothing but the reason."""
    row = await load(unit, referral_id, principal, expected)
    body = Reasoned(reason=reason)
    return await take_move(unit, row, move, here=calendar, reason=reason, body=body)


# --- what the receiving country answers


async def acknowledge_cross_border(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> CrossBorderReferral:
    """Confirm that a referral has arrived, which opens the offer."""
    row = await load(unit, referral_id, principal, expected)
    return await take_move(unit, row, Move.ACKNOWLEDGE, here=calendar, acknowledged_at=utcnow())


async def accept_cross_border(
    unit: Unit,
    referral_id: UUID,
    answer: CrossBorderAccept,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> CrossBorderReferral:
    """Take the person in, in the name of an organisation of this country's directory.

    InvalidError `referral.organisation_unknown` for one that is not in it, `referral.service_unknown`
    for a service that it does not list.
    """
    row = await load(unit, referral_id, principal, expected)
    next_status(row.status, Move.ACCEPT, direction=row.direction)
    organisation = await directory.find_organisation(unit, answer.organisation_id)
    if organisation is None or organisation.country != calendar.country:
        raise InvalidError("referral.organisation_unknown", pointer="/organisation_id")
    if answer.service_id is not None:
        service = await directory.find_service(unit, answer.service_id)
        if service is None or service.organisation_id != organisation.id:
            raise InvalidError("referral.service_unknown", pointer="/service_id")
    taking = {"recipient_kind": organisation.kind}
    return await take_move(
        unit,
        row,
        Move.ACCEPT,
        here=calendar,
        body=Accepted(organisation_id=organisation.id, **taking),
        organisation_id=organisation.id,
        recipient_organisation_id=organisation.id,
        service_id=answer.service_id,
        **taking,
    )


async def confirm_arrival(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> CrossBorderReferral:
    row = await load(unit, referral_id, principal, expected)
    today = calendar.today
    arrived = Arrived(on=today)
    moved = await take_move(
        unit, row, Move.CONFIRM_ARRIVAL, here=calendar, body=arrived, arrived_on=today
    )
    if row.case_id is None:
        # Handed over, there would be no case here to take, and nobody could write in it any more.
        raise ConflictError("cross_border.case_missing")
    return moved


def _distinct(codes: list[str]) -> list[str]:
    return list(dict.fromkeys(codes))
