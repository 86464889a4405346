"""What the steps of a referral do to the plan it opened or joined."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID, uuid5

from common.contracts.referral import CONSENT_WITHDRAWN, CrossBorderChanged, ReferralEvent
from common.contracts.reintegration import (
    PlanClosedToOrganisation,
    PlanOpened,
    PlanReferralLinked,
    PlanResumed,
    PlanSuspended,
)
from common.tables import OutboxMessage
from common.unit import Unit
from reintegration.commands.steps import change_plan, record_step
from reintegration.domain.phases import CURRENT_POLICY, Phase
from reintegration.domain.plan import Action
from reintegration.models import Plan, PlanReferral
from reintegration.queries import plan as queries


async def open_plan(unit: Unit, accepted: ReferralEvent, *, country: str) -> None:
    """Open a plan for the case of an accepted referral, or let the referral join the open one.

    A plan the organisation has of the case, but which consent no longer carried, goes on; one of
    another organisation that consent no longer carries is passed over.
    """
    plan = await queries.find_open_plan(unit, accepted.case_id) or await queries.find_stopped_plan(
        unit, accepted.case_id, accepted.receiving_organisation_id
    )
    if plan is None:
        plan_id = await _open(
            unit,
            accepted.referral_id,
            case_id=accepted.case_id,
            organisation_id=accepted.receiving_organisation_id,
            country=country,
            on=accepted.on,
        )
    else:
        plan_id = plan.id
        await _join(unit, plan, accepted)
    unit.add(
        PlanReferral,
        referral_id=accepted.referral_id,
        plan_id=plan_id,
        sending_organisation_id=accepted.sending_organisation_id,
        receiving_organisation_id=accepted.receiving_organisation_id,
        service_type=accepted.service_type,
        accepted_on=accepted.on,
    )


async def open_received_plan(unit: Unit, changed: CrossBorderChanged, *, country: str) -> None:
    """Open a plan for a person whose case this country has taken over from another one.

    Where the case has an open plan that goes on. Nobody here referred her, so the plan rests on no
    referral of this country, and no end of one stops it.
    """
    if changed.case_id is None or changed.organisation_id is None:
        return
    if await queries.find_open_plan(unit, changed.case_id) is not None:
        return
    if await queries.find_plan(unit, _id_of(changed.referral_id)) is not None:
        return  # told again after the plan was closed
    await _open(
        unit,
        changed.referral_id,
        case_id=changed.case_id,
        organisation_id=changed.organisation_id,
        country=country,
        on=changed.on,
    )


async def end_referral(unit: Unit, ended: ReferralEvent) -> None:
    """Note that a referral is over, and stop its plan when a withdrawn consent ended it.

    Also when consent is withdrawn after the referral had ended. A plan is stopped when no other
    accepted referral to its organisation carries it, a closed one too: the receiver keeps only the
    fact and the date (domain.md section 4). Nothing happens for a referral that was never accepted.
    """
    referral = await queries.find_referral(unit, ended.referral_id)
    if referral is None:
        return
    if referral.ended_on is None:
        unit.update(
            PlanReferral, {"referral_id": referral.referral_id}, expect=1, ended_on=ended.on
        )
    plan = await queries.find_plan(unit, referral.plan_id)
    if plan is None or ended.reason != CONSENT_WITHDRAWN or plan.consent_withdrawn_on is not None:
        return
    if not await _rests_on(unit, plan, referral):
        return
    receiver = plan.organisation_id
    others = [
        other
        for other in await queries.list_referrals(unit, plan.id)
        if other.ended_on is None and other.referral_id != referral.referral_id
    ]
    for other in others:
        if other.receiving_organisation_id == receiver:
            # It may be withdrawn at the same time; then one of the two has to see the other's end.
            unit.require_unchanged(PlanReferral, referral_id=other.referral_id, ended_on=None)
            return
    told = PlanSuspended(
        plan_id=plan.id, case_id=plan.case_id, suspended_on=ended.on, reason=CONSENT_WITHDRAWN
    )
    unit.withhold(plan.id, organisation_id=receiver)
    changed = await change_plan(
        unit,
        plan,
        told,
        PlanClosedToOrganisation(plan_id=plan.id),
        is_suspended=True,
        overdue_phase=None,
        consent_withdrawn_on=ended.on,
    )
    await record_step(unit, plan, changed, Action.SUSPEND, ended.on, reason=CONSENT_WITHDRAWN)
    if others and plan.phase is not Phase.CLOSED:
        await _hand_on(unit, plan, others, ended.on)


async def _rests_on(unit: Unit, plan: Plan, referral: PlanReferral) -> bool:
    """Tell whether a referral to the plan's organisation carries it.

    None of this country does where the plan came with the case: see open_received_plan.
    """
    if referral.receiving_organisation_id != plan.organisation_id:
        return False
    return await queries.find_referral(unit, plan.referral_id) is not None


async def show_plans(unit: Unit, case_id: UUID, *, owner: UUID) -> None:
    """Let the owner of a case that is heard of now read what was told of its plans before."""
    for plan in await queries.list_plans_of(unit, case_id):
        if plan.organisation_id != owner:
            unit.update(OutboxMessage, {"subject": plan.id}, other_organisation_id=owner)


async def _hand_on(unit: Unit, stopped: Plan, others: Sequence[PlanReferral], on: date) -> None:
    """Let whoever else has taken the person on carry a plan; the first to accept leads.

    What the stopped plan holds stays where it is: it was told to its organisation.
    """
    first = others[0]
    plan = await queries.find_stopped_plan(unit, stopped.case_id, first.receiving_organisation_id)
    plan_id = _id_of(first.referral_id) if plan is None else plan.id
    linked = [
        PlanReferralLinked(
            plan_id=plan_id, case_id=stopped.case_id, referral_id=other.referral_id, linked_on=on
        )
        for other in others
    ]
    if plan is None:
        await _open(
            unit,
            first.referral_id,
            *linked[1:],
            case_id=stopped.case_id,
            organisation_id=first.receiving_organisation_id,
            country=stopped.country,
            on=on,
        )
    else:
        await _lift(unit, plan, *linked, on=on)
    for other in others:
        unit.update(
            PlanReferral,
            {"referral_id": other.referral_id, "ended_on": None},
            expect=1,
            plan_id=plan_id,
        )


async def _open(
    unit: Unit,
    referral_id: UUID,
    *linked: PlanReferralLinked,
    case_id: UUID,
    organisation_id: UUID,
    country: str,
    on: date,
) -> UUID:
    """Open a plan and return its id."""
    plan_id = _id_of(referral_id)
    opened = PlanOpened(
        plan_id=plan_id,
        case_id=case_id,
        referral_id=referral_id,
        organisation_id=organisation_id,
        country=country,
        opened_on=on,
    )
    unit.create(
        Plan,
        opened,
        *linked,
        about=case_id,
        also=await queries.find_owner(unit, case_id),
        id=plan_id,
        organisation_id=organisation_id,
        case_id=case_id,
        referral_id=referral_id,
        country=country,
        phase=Phase.PLANNED,
        episode_began_on=on,
        policy_version=CURRENT_POLICY.version,
        opened_on=on,
    )
    return plan_id


async def _join(unit: Unit, plan: Plan, accepted: ReferralEvent) -> None:
    """Let a referral join; a new one to a stopped plan's organisation lifts the withdrawal."""
    linked = PlanReferralLinked(
        plan_id=plan.id,
        case_id=plan.case_id,
        referral_id=accepted.referral_id,
        linked_on=accepted.on,
    )
    if plan.consent_withdrawn_on is None:
        await change_plan(unit, plan, linked)
    else:
        await _lift(unit, plan, linked, on=accepted.on)


async def _lift(unit: Unit, plan: Plan, *linked: PlanReferralLinked, on: date) -> None:
    resumed = PlanResumed(plan_id=plan.id, case_id=plan.case_id, resumed_on=on)
    changed = await change_plan(
        unit, plan, *linked, resumed, is_suspended=False, consent_withdrawn_on=None
    )
    await record_step(unit, plan, changed, Action.RESUME, on)


def _id_of(referral_id: UUID) -> UUID:
    """Return the id of the plan that a referral opens.

    It follows from the referral's, so that hearing the same events again from the beginning makes
    the same plans.
    """
    return uuid5(referral_id, "plan")
