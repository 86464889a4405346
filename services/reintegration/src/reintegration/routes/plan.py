from datetime import date
from typing import Any, TypeVar
from uuid import UUID

from fastapi import Request
from sqlalchemy import and_, bindparam, case, false, true

from common.auth import Principal
from common.codelists import all_codes
from common.http import (
    CurrentPrincipal,
    Filter,
    Filters,
    IfMatch,
    Page,
    PageDep,
    UnitDep,
    page,
    router,
)
from common.http.request import Today
from common.unit import Unit
from reintegration.commands import plan as commands
from reintegration.domain.phases import PHASE_POLICIES, month_of
from reintegration.domain.plan import overdue
from reintegration.models import Plan, PlanStep
from reintegration.queries import plan as queries
from reintegration.schemas import (
    PhaseChange,
    PlanClose,
    PlanDetail,
    PlanNoteRead,
    PlanNotes,
    PlanRead,
    PlanReferralRead,
    PlanReopen,
    PlanResume,
    PlanStart,
    PlanStepRead,
    PlanSuspend,
)

plans = router(prefix="/v1/plans", tags=["plans"])

T = TypeVar("T", bound=PlanRead)

_IS_OVERDUE = case(
    (and_(Plan.due_on <= bindparam("today", type_=Plan.due_on.type), ~Plan.is_suspended), true()),
    else_=false(),
)
FILTERS = Filters(
    phase=Filter(queries.shown(Plan.phase, "reader"), "code", all_codes("plan_phases")),
    case_id=Filter(queries.shown(Plan.case_id, "reader"), "id"),
    is_suspended=Filter(Plan.is_suspended, "flag"),
    is_overdue=Filter(queries.shown(_IS_OVERDUE, "reader"), "flag"),
    entered_on=Filter(Plan.entered_on, "date"),
)


@plans.get("", openapi_extra=FILTERS.openapi, response_model_exclude_unset=True)
async def list_plans(
    request: Request,
    unit: UnitDep,
    principal: CurrentPrincipal,
    page_request: PageDep,
    today: Today,
) -> Page[PlanRead]:
    """List the plans of your organisation and those of cases it owns, newest first.

    `is_overdue=true` finds the plans that have outstayed their phase today. A suspended plan is not
    overdue.
    """
    statement = FILTERS.apply(queries.list_plans(principal), request).params(
        today=today, reader=principal.organisation_id
    )
    return await page(
        unit,
        statement,
        page_request,
        lambda plan: _read(PlanRead, plan, principal, today),
        time=Plan.recorded_at,
        id=Plan.id,
    )


@plans.get("/{plan_id}", response_model_exclude_unset=True)
async def get_plan(
    plan_id: UUID, unit: UnitDep, principal: CurrentPrincipal, today: Today
) -> PlanDetail:
    """Read a plan: its phase, its month, the day it is due, and every step it has taken.

    Months count from entry into the programme, the month of entry being month 1, and are never set
    back: not by a step back, a suspension, or closing and reopening. Once the person has withdrawn
    consent (`consent_withdrawn_on`), its organisation keeps only the fact and the dates: no case,
    phase, history, month, term or reason, and no referrals. These are absent, as a field of a data
    group your role may not know (`x-data-group`).
    """
    plan = await queries.get_plan(unit, plan_id, principal=principal)
    steps = await queries.list_steps(unit, plan.id)
    referrals = await queries.list_referrals(unit, plan.id)
    _enter_reading(unit, plan)
    return _read(
        PlanDetail,
        plan,
        principal,
        today,
        history=[_read_step(step) for step in steps],
        referrals=[PlanReferralRead.model_validate(referral) for referral in referrals],
    )


@plans.get("/{plan_id}/notes")
async def list_notes(plan_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> PlanNotes:
    """Read the notes written at the steps of a plan of your own organisation.

    Notes are kept sealed under the key of the case. That they were opened, and by whom, is recorded
    before they leave. Once the person has withdrawn consent none is opened, nor for a role that may
    not know every data group: the list is empty.
    """
    plan = await queries.get_plan(unit, plan_id, principal=principal)
    if not queries.may_open(plan, principal):
        _enter_reading(unit, plan)
        return PlanNotes(items=[])
    noted = [step for step in await queries.list_steps(unit, plan.id) if step.note is not None]
    box = await unit.box(plan.case_id)
    items = [
        PlanNoteRead(
            step_id=step.id,
            happened_on=step.happened_on,
            note=box.open(step.note, table=PlanStep.__tablename__, row=step.id, column="note")
            if box and step.note
            else None,
        )
        for step in noted
    ]
    unit.disclose(
        PlanStep.__tablename__,
        [str(step.id) for step in noted],
        about=plan.case_id,
        data_groups=["SUPPORT"],
        purpose="ASSISTANCE",
        legal_basis=queries.DISCLOSED_ON,
    )
    return PlanNotes(items=items)


@plans.post("/{plan_id}/start", response_model_exclude_unset=True)
async def start_plan(
    plan_id: UUID,
    body: PlanStart,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> PlanRead:
    """Start a planned plan: the person has entered the programme, and crisis intervention begins.

    All months count from `entered_on`, not from the identification. It lies between
    the day on which the referral was accepted and today. As for every step of a plan: news travels
    with a short delay, so a plan is there a moment after the acceptance; `403 consent.missing` says
    that consent was withdrawn and that the plan goes on with a new referral, accepted under a new
    consent, a moment after that; `403 step.not_yours` that the case is yours and the plan is not;
    `409 ownership.not_here` that the case went to another country, where she is assisted now: the
    plan can be read and closed, and nothing else.
    """
    plan = await commands.start_plan(
        unit,
        plan_id,
        principal=principal,
        expected=expected,
        entered_on=body.entered_on,
        today=today,
    )
    return _read(PlanRead, plan, principal, today)


@plans.post("/{plan_id}/phase", response_model_exclude_unset=True)
async def change_phase(
    plan_id: UUID,
    body: PhaseChange,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> PlanRead:
    """Move a started plan to another phase.

    The next phase, on its day or later, needs no reason. An early change, a skipped phase and a
    step back need one that fits (code list phase_change_reasons); a step back does not set the
    months back. REINTEGRATION and FOLLOW_UP need an agreement in force.
    """
    plan = await commands.change_phase(
        unit,
        plan_id,
        principal=principal,
        expected=expected,
        to_phase=body.to_phase,
        reason=body.reason,
        note=body.note,
        today=today,
    )
    return _read(PlanRead, plan, principal, today)


@plans.post("/{plan_id}/suspend", response_model_exclude_unset=True)
async def suspend_plan(
    plan_id: UUID,
    body: PlanSuspend,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> PlanRead:
    """Let a plan rest. Its months run on, but it is not reported as overdue until it is resumed."""
    plan = await commands.suspend_plan(
        unit, plan_id, principal=principal, expected=expected, note=body.note, today=today
    )
    return _read(PlanRead, plan, principal, today)


@plans.post("/{plan_id}/resume", response_model_exclude_unset=True)
async def resume_plan(
    plan_id: UUID,
    body: PlanResume,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> PlanRead:
    """Go on with a suspended plan, in the phase it was in."""
    plan = await commands.resume_plan(
        unit, plan_id, principal=principal, expected=expected, note=body.note, today=today
    )
    return _read(PlanRead, plan, principal, today)


@plans.post("/{plan_id}/close", response_model_exclude_unset=True)
async def close_plan(
    plan_id: UUID,
    body: PlanClose,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> PlanRead:
    """Close a plan from any phase, with a reason of the code list closure_reasons.

    The reasons follow the IOM handbook, section 2.7. `closed_on` lies between entry (or the last
    reopening) and today.
    """
    plan = await commands.close_plan(
        unit,
        plan_id,
        principal=principal,
        expected=expected,
        reason=body.reason,
        closed_on=body.closed_on,
        note=body.note,
        today=today,
    )
    return _read(PlanRead, plan, principal, today)


@plans.post("/{plan_id}/reopen", response_model_exclude_unset=True)
async def reopen_plan(
    plan_id: UUID,
    body: PlanReopen,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> PlanRead:
    """Go on with a closed plan, in the phase it was closed from and under the next episode number.

    The plan keeps its id, its history and its months. RE_TRAFFICKED as the reason is what counts
    persons trafficked again. A case has one open plan at a time.
    """
    plan = await commands.reopen_plan(
        unit,
        plan_id,
        principal=principal,
        expected=expected,
        reason=body.reason,
        note=body.note,
        today=today,
    )
    return _read(PlanRead, plan, principal, today)


def _enter_reading(unit: Unit, plan: Plan) -> None:
    table, basis = Plan.__tablename__, queries.DISCLOSED_ON
    unit.audit("read", table, [str(plan.id)], about=plan.case_id, legal_basis=basis)


def _read(
    model: type[T],
    plan: Plan,
    principal: Principal,
    today: date,
    **parts: Any,
) -> T:
    """Return what the caller may know of a plan: the same from every route."""
    found = plan.entered_on and overdue(
        plan.phase,
        is_suspended=plan.is_suspended,
        entered_on=plan.entered_on,
        today=today,
        policy=PHASE_POLICIES[plan.policy_version],
    )
    month = month_of(plan.entered_on, plan.closed_on or today) if plan.entered_on else None
    groups = queries.groups_of(plan, principal)
    return model.of(plan, groups=groups, month=month, is_overdue=bool(found), **parts)


def _read_step(step: PlanStep) -> PlanStepRead:
    shown = {name: getattr(step, name) for name in PlanStepRead.model_fields if name != "has_note"}
    return PlanStepRead(**shown, has_note=step.note is not None)
