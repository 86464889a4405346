"""What the steps of a referral do to the plan it opened or joined."""

from typing import Final
from uuid import uuid5

from common.contracts.referral import ReferralEvent
from common.contracts.reintegration import (
    PlanOpened,
    PlanReferralLinked,
    PlanResumed,
    PlanSuspended,
)
from common.unit import Unit
from reintegration.commands.steps import change_plan, record_step
from reintegration.domain.phases import CURRENT_POLICY, Phase
from reintegration.domain.plan import Action
from reintegration.models import Plan, PlanReferral
from reintegration.queries import plan as queries

CONSENT_WITHDRAWN: Final = "CONSENT_WITHDRAWN"
"""The code of cancel_reasons with which the referral service ends what a consent carried."""


async def open_plan(unit: Unit, accepted: ReferralEvent, *, country: str) -> None:
    """Open a plan for the case of an accepted referral, or let the referral join the open one.

    The plan's id follows from the referral's, so that hearing the same events again from the
    beginning makes the same plans.
    """
    plan = await queries.find_open_plan(unit, accepted.case_id)
    plan_id = uuid5(accepted.referral_id, "plan") if plan is None else plan.id
    if plan is None:
        unit.create(
            Plan,
            PlanOpened(
                plan_id=plan_id,
                case_id=accepted.case_id,
                referral_id=accepted.referral_id,
                organisation_id=accepted.receiving_organisation_id,
                country=country,
                opened_on=accepted.on,
            ),
            about=accepted.case_id,
            id=plan_id,
            organisation_id=accepted.receiving_organisation_id,
            case_id=accepted.case_id,
            referral_id=accepted.referral_id,
            country=country,
            phase=Phase.PLANNED,
            episode_began_on=accepted.on,
            policy_version=CURRENT_POLICY.version,
            opened_on=accepted.on,
        )
    else:
        linked = PlanReferralLinked(
            plan_id=plan.id,
            case_id=plan.case_id,
            referral_id=accepted.referral_id,
            linked_on=accepted.on,
        )
        await _join(unit, plan, accepted, linked)
    unit.add(
        PlanReferral,
        referral_id=accepted.referral_id,
        plan_id=plan_id,
        sending_organisation_id=accepted.sending_organisation_id,
        receiving_organisation_id=accepted.receiving_organisation_id,
        service_type=accepted.service_type,
        accepted_on=accepted.on,
    )


async def end_referral(unit: Unit, ended: ReferralEvent) -> None:
    """Note that a referral is over, and stop its plan when a withdrawn consent ended it.

    A plan is stopped when no other accepted referral to its organisation carries it, a closed one
    too: the receiver keeps only the fact and the date (domain.md section 4). Nothing happens for a
    referral that was never accepted.
    """
    referral = await queries.find_referral(unit, ended.referral_id)
    if referral is None:
        return
    unit.update(PlanReferral, {"referral_id": referral.referral_id}, expect=1, ended_on=ended.on)
    plan = await queries.find_plan(unit, referral.plan_id)
    if plan is None or ended.reason != CONSENT_WITHDRAWN or plan.consent_withdrawn_on is not None:
        return
    receiver = plan.organisation_id
    if referral.receiving_organisation_id != receiver:
        return
    for other in await queries.list_referrals(unit, plan.id):
        carries = other.receiving_organisation_id == receiver and other.ended_on is None
        if carries and other.referral_id != referral.referral_id:
            # It may be withdrawn at the same time; then one of the two has to see the other's end.
            unit.require_unchanged(PlanReferral, referral_id=other.referral_id, ended_on=None)
            return
    told = PlanSuspended(
        plan_id=plan.id, case_id=plan.case_id, suspended_on=ended.on, reason=CONSENT_WITHDRAWN
    )
    changed = change_plan(
        unit,
        plan,
        told,
        is_suspended=True,
        overdue_phase=None,
        consent_withdrawn_on=ended.on,
    )
    await record_step(unit, plan, changed, Action.SUSPEND, ended.on, reason=CONSENT_WITHDRAWN)


async def _join(
    unit: Unit, plan: Plan, accepted: ReferralEvent, linked: PlanReferralLinked
) -> None:
    """Let a referral join; a new one to the plan's organisation lifts a withdrawal of consent."""
    if plan.consent_withdrawn_on is None or (
        accepted.receiving_organisation_id != plan.organisation_id
    ):
        change_plan(unit, plan, linked)
        return
    resumed = PlanResumed(plan_id=plan.id, case_id=plan.case_id, resumed_on=accepted.on)
    changed = change_plan(
        unit, plan, linked, resumed, is_suspended=False, consent_withdrawn_on=None
    )
    await record_step(unit, plan, changed, Action.RESUME, accepted.on)
