"""How a step of a plan is handed over: the changed row, and its line in the history."""

from datetime import date
from typing import Any

from common.clock import new_id, utcnow
from common.events import EventData
from common.unit import Unit
from reintegration.domain.plan import Action, PhaseMove
from reintegration.models import Plan, PlanStep
from reintegration.queries.plan import find_owner


async def change_plan(unit: Unit, plan: Plan, *events: EventData, **values: Any) -> Plan:
    """Hand over a change of a plan. Who owns its case may read of it in the feed, as by GET."""
    owner = await find_owner(unit, plan.case_id)
    # Its own organisation is shut out of one that it reads as such, not let in as the owner again.
    also = None if owner == plan.organisation_id else owner
    return unit.change(
        Plan, plan, *events, about=plan.case_id, also=also, updated_at=utcnow(), **values
    )


async def record_step(
    unit: Unit,
    before: Plan,
    after: Plan,
    action: Action,
    happened_on: date,
    *,
    move: PhaseMove | None = None,
    reason: str | None = None,
    note: str | None = None,
) -> None:
    step_id = new_id()
    sealed = None
    if note is not None:
        box = await unit.box(before.case_id) or await unit.new_box(before.case_id)
        sealed = box.seal(note, table=PlanStep.__tablename__, row=step_id, column="note")
    unit.add(
        PlanStep,
        id=step_id,
        plan_id=before.id,
        plan_version=after.version,
        episode=after.episode,
        action=action,
        from_phase=before.phase,
        to_phase=after.phase,
        direction=move.direction if move else None,
        is_early=move.is_early if move else False,
        reason=reason,
        happened_on=happened_on,
        month=move.month if move else None,
        note=sealed,
    )
