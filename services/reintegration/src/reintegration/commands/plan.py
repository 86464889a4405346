from datetime import date
from uuid import UUID

from common.auth import Principal
from common.codelists import codes
from common.contracts.reintegration import (
    PlanClosed,
    PlanPhaseChanged,
    PlanPhaseOverdue,
    PlanReopened,
    PlanResumed,
    PlanSuspended,
)
from common.unit import Unit
from reintegration.commands.steps import change_plan, record_step
from reintegration.domain import plan as domain
from reintegration.domain.phases import CURRENT_POLICY, PHASE_POLICIES, Phase, due_on
from reintegration.domain.plan import Action, Direction, PhaseMove, Reason
from reintegration.models import Plan
from reintegration.queries import plan as queries
from reintegration.queries.agreement import has_active_agreement


async def start_plan(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int,
    entered_on: date,
    today: date,
) -> Plan:
    plan = await queries.get_carried(unit, plan_id, principal=principal, expected=expected)
    move = domain.start(
        plan.phase,
        is_suspended=plan.is_suspended,
        accepted_on=plan.opened_on,
        entered_on=entered_on,
        today=today,
    )
    changed = await change_plan(
        unit,
        plan,
        _phase_changed(plan, move, entered_on=entered_on, reason=None, today=today),
        phase=move.to_phase,
        entered_on=entered_on,
        policy_version=CURRENT_POLICY.version,
        due_on=due_on(move.to_phase, entered_on, CURRENT_POLICY),
    )
    await record_step(unit, plan, changed, Action.START, today, move=move)
    return changed


async def change_phase(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int,
    to_phase: str,
    reason: str | None,
    note: str | None,
    today: date,
) -> Plan:
    plan = await queries.get_carried(unit, plan_id, principal=principal, expected=expected)
    domain.require_legal(Action.CHANGE_PHASE, plan.phase, is_suspended=plan.is_suspended)
    entered_on = _entered_on(plan)
    policy = PHASE_POLICIES[plan.policy_version]
    move = domain.change_phase(
        plan.phase,
        Phase(to_phase),
        is_suspended=plan.is_suspended,
        entered_on=entered_on,
        today=today,
        reason=None if reason is None else _reason(reason),
        has_active_agreement=await has_active_agreement(unit, plan.id),
        policy=policy,
    )
    changed = await change_plan(
        unit,
        plan,
        _phase_changed(plan, move, entered_on=entered_on, reason=reason, today=today),
        phase=move.to_phase,
        due_on=due_on(move.to_phase, entered_on, policy),
        overdue_phase=None,
    )
    await record_step(
        unit, plan, changed, Action.CHANGE_PHASE, today, move=move, reason=reason, note=note
    )
    return changed


async def suspend_plan(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int,
    note: str | None,
    today: date,
) -> Plan:
    plan = await queries.get_carried(unit, plan_id, principal=principal, expected=expected)
    domain.require_legal(Action.SUSPEND, plan.phase, is_suspended=plan.is_suspended)
    told = PlanSuspended(plan_id=plan.id, case_id=plan.case_id, suspended_on=today)
    # Told again of a phase outstayed, should the plan still be in it when work goes on.
    changed = await change_plan(unit, plan, told, is_suspended=True, overdue_phase=None)
    await record_step(unit, plan, changed, Action.SUSPEND, today, note=note)
    return changed


async def resume_plan(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int,
    note: str | None,
    today: date,
) -> Plan:
    plan = await queries.get_carried(unit, plan_id, principal=principal, expected=expected)
    domain.require_legal(Action.RESUME, plan.phase, is_suspended=plan.is_suspended)
    told = PlanResumed(plan_id=plan.id, case_id=plan.case_id, resumed_on=today)
    changed = await change_plan(unit, plan, told, is_suspended=False)
    await record_step(unit, plan, changed, Action.RESUME, today, note=note)
    return changed


async def close_plan(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int,
    reason: str,
    closed_on: date,
    note: str | None,
    today: date,
) -> Plan:
    plan = await queries.get_carried(
        unit, plan_id, principal=principal, expected=expected, wherever=True
    )
    domain.close(
        plan.phase,
        is_suspended=plan.is_suspended,
        not_before=max(plan.entered_on or plan.episode_began_on, plan.episode_began_on),
        closed_on=closed_on,
        today=today,
    )
    told = PlanClosed(
        plan_id=plan.id,
        case_id=plan.case_id,
        reason=reason,
        closed_on=closed_on,
        episode=plan.episode,
    )
    changed = await change_plan(
        unit,
        plan,
        told,
        phase=Phase.CLOSED,
        is_suspended=False,
        closed_from=plan.phase,
        closed_on=closed_on,
        closure_reason=reason,
        due_on=None,
        overdue_phase=None,
    )
    await record_step(unit, plan, changed, Action.CLOSE, closed_on, reason=reason, note=note)
    return changed


async def reopen_plan(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int,
    reason: str,
    note: str | None,
    today: date,
) -> Plan:
    plan = await queries.get_carried(unit, plan_id, principal=principal, expected=expected)
    other = await queries.find_open_plan(unit, plan.case_id)
    phase, episode = domain.reopen(
        plan.phase,
        closed_from=plan.closed_from or plan.phase,
        episode=plan.episode,
        reason=_reason(reason),
        has_other_open_plan=other is not None and other.id != plan.id,
    )
    told = PlanReopened(
        plan_id=plan.id,
        case_id=plan.case_id,
        to_phase=phase,
        reason=reason,
        reopened_on=today,
        episode=episode,
    )
    policy = PHASE_POLICIES[plan.policy_version]
    changed = await change_plan(
        unit,
        plan,
        told,
        phase=phase,
        episode=episode,
        episode_began_on=today,
        closed_from=None,
        closed_on=None,
        closure_reason=None,
        due_on=due_on(phase, plan.entered_on, policy) if plan.entered_on else None,
    )
    await record_step(unit, plan, changed, Action.REOPEN, today, reason=reason, note=note)
    return changed


async def report_overdue(unit: Unit, plan_id: UUID, *, today: date) -> None:
    """Tell that a plan has outstayed its phase, once for each time it enters one."""
    plan = await queries.find_plan(unit, plan_id)
    if plan is None or plan.entered_on is None or plan.overdue_phase is not None:
        return
    found = domain.overdue(
        plan.phase,
        is_suspended=plan.is_suspended,
        entered_on=plan.entered_on,
        today=today,
        policy=PHASE_POLICIES[plan.policy_version],
    )
    if found is None:
        return
    told = PlanPhaseOverdue(
        plan_id=plan.id,
        case_id=plan.case_id,
        phase=plan.phase,
        due_on=found.due_on,
        month=found.month,
    )
    await change_plan(unit, plan, told, overdue_phase=plan.phase)


def _phase_changed(
    plan: Plan, move: PhaseMove, *, entered_on: date, reason: str | None, today: date
) -> PlanPhaseChanged:
    return PlanPhaseChanged(
        plan_id=plan.id,
        case_id=plan.case_id,
        from_phase=move.from_phase,
        to_phase=move.to_phase,
        direction=move.direction,
        reason=reason,
        entered_on=entered_on,
        changed_on=today,
        month=move.month,
    )


def _reason(code: str) -> Reason:
    fits = [d for d in Direction if code in codes("phase_change_reasons", directions=d.value)]
    return Reason(code, fits)


def _entered_on(plan: Plan) -> date:
    """Return the day of entry of a plan that has been started."""
    if plan.entered_on is None:
        raise ValueError("a running plan has a day of entry")
    return plan.entered_on
