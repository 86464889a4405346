from datetime import date

from sqlalchemy import bindparam, select

from analytics.models import CaseFact, MarkerFact, PlanFact, ReferralFact
from common.contracts.intake import (
    CaseIdentificationChanged,
    CaseIdentityRecorded,
    CaseMarkerEnded,
    CaseMarkerRecorded,
    CaseOpened,
    CaseProfileChanged,
)
from common.contracts.referral import EVENT_BY_STATUS, ReferralEvent
from common.contracts.reintegration import (
    PlanClosed,
    PlanOpened,
    PlanPhaseChanged,
    PlanPhaseOverdue,
    PlanReopened,
    PlanSuspended,
)
from common.events import Event
from common.inbox import Handlers
from common.unit import Unit

# Events of one aggregate come in order, so its newest fact is the one this event changes.
_LAST_CASE = (
    select(CaseFact)
    .where(CaseFact.case_id == bindparam("id"))
    .order_by(CaseFact.seq.desc())
    .limit(1)
)
_LAST_PLAN = (
    select(PlanFact)
    .where(PlanFact.plan_id == bindparam("id"))
    .order_by(PlanFact.seq.desc())
    .limit(1)
)


async def on_case_opened(unit: Unit, event: Event) -> None:
    case = CaseOpened.model_validate(event.data)
    unit.add(
        CaseFact,
        case_id=case.case_id,
        seq=event.seq,
        happened_at=event.time,
        country=case.country,
        organisation_id=case.organisation_id,
        beneficiary_kind=case.beneficiary_kind,
        identification_status=case.identification_status,
        sex=case.sex,
        age_group=case.age_group,
    )


async def on_profile_changed(unit: Unit, event: Event) -> None:
    profile = CaseProfileChanged.model_validate(event.data)
    await _next_case(
        unit,
        event,
        beneficiary_kind=profile.beneficiary_kind,
        sex=profile.sex,
        age_group=profile.age_group,
    )


async def on_identity_recorded(unit: Unit, event: Event) -> None:
    identity = CaseIdentityRecorded.model_validate(event.data)
    derived = {"age_group": identity.age_group} | ({"sex": identity.sex} if identity.sex else {})
    await _next_case(unit, event, **derived)


async def on_identification_changed(unit: Unit, event: Event) -> None:
    decided = CaseIdentificationChanged.model_validate(event.data)
    await _next_case(unit, event, identification_status=decided.status)


async def on_marker_recorded(unit: Unit, event: Event) -> None:
    marker = CaseMarkerRecorded.model_validate(event.data)
    _add_marker(unit, event, marker, since=marker.since)


async def on_marker_ended(unit: Unit, event: Event) -> None:
    marker = CaseMarkerEnded.model_validate(event.data)
    _add_marker(unit, event, marker, until=marker.until)


async def on_plan_opened(unit: Unit, event: Event) -> None:
    plan = PlanOpened.model_validate(event.data)
    unit.add(
        PlanFact,
        plan_id=plan.plan_id,
        seq=event.seq,
        happened_at=event.time,
        case_id=plan.case_id,
        phase="PLANNED",
        entered_on=None,
        overdue=False,
        closure_reason=None,
    )


async def on_phase_changed(unit: Unit, event: Event) -> None:
    change = PlanPhaseChanged.model_validate(event.data)
    await _next_plan(
        unit, event, phase=change.to_phase, entered_on=change.entered_on, overdue=False
    )


async def on_phase_overdue(unit: Unit, event: Event) -> None:
    PlanPhaseOverdue.model_validate(event.data)
    await _next_plan(unit, event, overdue=True)


async def on_plan_suspended(unit: Unit, event: Event) -> None:
    """Take the mark off: at rest a plan is not overdue; if it is when resumed, that is told."""
    PlanSuspended.model_validate(event.data)
    await _next_plan(unit, event, overdue=False)


async def on_plan_closed(unit: Unit, event: Event) -> None:
    closed = PlanClosed.model_validate(event.data)
    await _next_plan(unit, event, phase="CLOSED", overdue=False, closure_reason=closed.reason)


async def on_plan_reopened(unit: Unit, event: Event) -> None:
    reopened = PlanReopened.model_validate(event.data)
    await _next_plan(unit, event, phase=reopened.to_phase, closure_reason=None)


async def on_referral(unit: Unit, event: Event) -> None:
    """Keep a referral's state after any of its events; each carries the whole of it."""
    referral = ReferralEvent.model_validate(event.data)
    unit.add(
        ReferralFact,
        referral_id=referral.referral_id,
        seq=event.seq,
        happened_at=event.time,
        case_id=referral.case_id,
        status=referral.status,
        urgency=referral.urgency,
        service_type=referral.service_type,
    )


def _add_marker(
    unit: Unit,
    event: Event,
    told: CaseMarkerRecorded | CaseMarkerEnded,
    *,
    since: date | None = None,
    until: date | None = None,
) -> None:
    unit.add(
        MarkerFact,
        case_id=told.case_id,
        seq=event.seq,
        happened_at=event.time,
        marker_id=told.marker_id,
        marker=told.marker,
        since=since,
        until=until,
    )


async def _next_case(unit: Unit, event: Event, **changed: str) -> None:
    last = await unit.find(_LAST_CASE, id=event.subject)
    if last is None:
        raise LookupError("a case's first event is its opening")
    _follow(unit, CaseFact, last, event, **changed)


async def _next_plan(unit: Unit, event: Event, **changed: object) -> None:
    last = await unit.find(_LAST_PLAN, id=event.subject)
    if last is None:
        raise LookupError("a plan's first event is its opening")
    _follow(unit, PlanFact, last, event, **changed)


def _follow(
    unit: Unit,
    model: type[CaseFact] | type[PlanFact],
    last: object,
    event: Event,
    **changed: object,
) -> None:
    state = {column: getattr(last, column) for column in model.__table__.columns.keys()}  # noqa: SIM118
    unit.add(model, **{**state, **changed, "seq": event.seq, "happened_at": event.time})


HANDLERS: Handlers = {
    CaseOpened.type: on_case_opened,
    CaseProfileChanged.type: on_profile_changed,
    CaseIdentityRecorded.type: on_identity_recorded,
    CaseIdentificationChanged.type: on_identification_changed,
    CaseMarkerRecorded.type: on_marker_recorded,
    CaseMarkerEnded.type: on_marker_ended,
    PlanOpened.type: on_plan_opened,
    PlanPhaseChanged.type: on_phase_changed,
    PlanPhaseOverdue.type: on_phase_overdue,
    PlanSuspended.type: on_plan_suspended,
    PlanClosed.type: on_plan_closed,
    PlanReopened.type: on_plan_reopened,
    **{kind.type: on_referral for kind in EVENT_BY_STATUS.values()},
}
