"""What the sender does with a referral."""

from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.contracts.referral import EVENT_BY_STATUS
from common.errors import ConflictError, InvalidError
from common.unit import Unit
from referral.commands.consent import rest_on_consent
from referral.commands.steps import (
    load,
    next_status_of,
    parties_of,
    release_places,
    require_here,
    require_sender,
    seal,
    take_step,
)
from referral.domain.calendar import Calendar
from referral.domain.directory import Need, choose_service_type, require_eligible
from referral.domain.referral import (
    RESPONSE_POLICY,
    Action,
    ReferralStatus,
    Urgency,
    respond_by,
)
from referral.models import KnownCase, Organisation, Referral, Service
from referral.queries import directory
from referral.queries import referral as queries
from referral.schemas.referral import ReferralCancel, ReferralCreate, ReferralResubmit


async def draft_referral(
    unit: Unit, draft: ReferralCreate, *, principal: Principal, calendar: Calendar
) -> Referral:
    case = await _get_case(unit, draft.case_id, principal)
    receiver = await directory.find_organisation(unit, draft.receiving_organisation_id)
    if receiver is None:
        raise InvalidError("referral.organisation_unknown", pointer="/receiving_organisation_id")
    if receiver.country != case.country:
        raise InvalidError("referral.other_country", pointer="/receiving_organisation_id")
    service = await _find_service(unit, draft.service_id, receiver)
    service_type = choose_service_type(
        draft.service_type, service.service_type if service else None
    )
    note = await seal(unit, draft.case_id, draft.id, "note", draft.note)
    columns: dict[str, Any] = {
        "case_id": draft.case_id,
        "sending_organisation_id": principal.organisation_id,
        "receiving_organisation_id": receiver.id,
        "service_type": service_type,
        "urgency": Urgency(draft.urgency),
        "status": ReferralStatus.DRAFT,
    }
    drafted = EVENT_BY_STATUS[ReferralStatus.DRAFT](
        referral_id=draft.id, on=calendar.today, **columns
    )
    return unit.create(
        Referral,
        drafted,
        about=draft.case_id,
        id=draft.id,
        **columns,
        service_id=draft.service_id,
        sex=case.sex,
        age_group=case.age_group,
        purpose=draft.purpose,
        data_groups=_distinct(draft.data_groups),
        languages=_distinct(draft.languages),
        trm_stage=draft.trm_stage,
        note=note,
        consent_ids=[],
    )


async def submit_referral(
    unit: Unit, referral_id: UUID, *, principal: Principal, expected: int, calendar: Calendar
) -> Referral:
    """Send a draft with the sex and age of the person as they are known today.

    ForbiddenError `consent.missing` unless consents cover what it shows that day, and ConflictError
    `referral.sender_without_case` when the sender has the case no more, `ownership.not_here` when
    another country has it or is offered it.
    """
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.SUBMIT, principal)
    return await _send(unit, referral, status, calendar)


async def resubmit_referral(
    unit: Unit,
    referral_id: UUID,
    answer: ReferralResubmit,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> Referral:
    """Send a returned referral again; the time to decide starts anew."""
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.RESUBMIT, principal)
    note = await seal(unit, referral.case_id, referral.id, "note", answer.note)
    return await _send(unit, referral, status, calendar, note=note or referral.note)


async def cancel_referral(
    unit: Unit,
    referral_id: UUID,
    answer: ReferralCancel,
    *,
    principal: Principal,
    expected: int,
    calendar: Calendar,
) -> Referral:
    """Call a referral off, at any time before it is completed; a place it held is free again."""
    referral = await load(unit, referral_id, principal, expected)
    status = next_status_of(referral, Action.CANCEL, principal, answer.reason)
    await release_places(unit, [referral])
    note = await seal(unit, referral.case_id, referral.id, "reason_note", answer.note)
    return take_step(unit, referral, status, calendar.today, answer.reason, reason_note=note)


async def _send(
    unit: Unit, referral: Referral, status: ReferralStatus, calendar: Calendar, **changed: Any
) -> Referral:
    case, receiver = await parties_of(unit, referral)
    await require_sender(unit, referral, case, among={ReferralStatus.ACCEPTED})
    require_here(case)
    consent_ids = await rest_on_consent(unit, referral, case, receiver, on=calendar.today)
    service = await _find_service(unit, referral.service_id, receiver)
    if service is not None:
        # Whether a place is free is the receiver's answer: the directory may be out of date.
        require_eligible(directory.offer_of(service), _need(case, referral))
    now = utcnow()
    deadline = respond_by(
        now, referral.urgency, zone=calendar.time_zone, holidays=calendar.holidays
    )
    return take_step(
        unit,
        referral,
        status,
        calendar.today,
        submitted_at=now,
        respond_by=deadline,
        policy_version=RESPONSE_POLICY.version,
        # What the receiver is shown is what was sent: it changes with a step, never under a version.
        sex=case.sex,
        age_group=case.age_group,
        consent_ids=consent_ids,
        **changed,
    )


async def _get_case(unit: Unit, case_id: UUID, principal: Principal) -> KnownCase:
    """Return a case the caller's organisation may refer: its own, or one it has in service.

    Raises ConflictError `referral.case_unknown` for any other, whether it exists or not: its events
    may still be on their way, so the caller may try again later. `ownership.not_here` for one that
    another country has or is offered.
    """
    case = await queries.find_case(unit, case_id)
    if case is None:
        raise ConflictError("referral.case_unknown")
    unit.require_unchanged(KnownCase, case_id=case_id, version=case.version)
    if "own" in principal.relations and case.organisation_id == principal.organisation_id:
        require_here(case)
        return case
    if "referred" in principal.relations:
        accepted = await queries.find_accepted(unit, case_id, principal.organisation_id)
        if accepted is not None:
            unit.require_unchanged(Referral, id=accepted.id, version=accepted.version)
            require_here(case)
            return case
    raise ConflictError("referral.case_unknown")


async def _find_service(
    unit: Unit, service_id: UUID | None, receiver: Organisation
) -> Service | None:
    if service_id is None:
        return None
    service = await directory.find_service(unit, service_id)
    if service is None or service.organisation_id != receiver.id:
        raise InvalidError("referral.service_unknown", pointer="/service_id")
    return service


def _need(case: KnownCase, referral: Referral) -> Need:
    return Need(
        sex=case.sex,
        age_group=case.age_group,
        is_minor=case.is_minor,
        languages=frozenset(referral.languages),
        place=False,
    )


def _distinct(codes: list[str]) -> list[str]:
    return list(dict.fromkeys(codes))
