"""What is made of others' events: plans of accepted referrals, and what is known of cases."""

from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.contracts.intake import CaseAssigned, CaseIdentityRecorded, CaseProfileChanged
from common.events import Event, EventData
from common.tables import DeadLetter
from reintegration.models import KnownCase, Plan, PlanReferral
from tests.kit import ELSEWHERE, HOME, Kit, open_service, told
from tests.reintegration.plans import (
    ACCEPTED_ON,
    CASE,
    CENTRE,
    PLAN,
    REFERRAL,
    accepted,
    case_opened,
    open_plan,
    start,
    step,
    types,
)

SECOND = UUID("20000000-0000-4000-8000-000000000002")
LATER = date(2026, 2, 2)


@pytest.mark.row("F44")
async def test_an_accepted_referral_opens_a_plan_that_waits_for_its_start(kit: Kit) -> None:
    await kit.hear(*accepted())

    [plan] = await kit.rows(select(Plan))
    assert (plan.id, plan.case_id, plan.organisation_id, plan.country) == (PLAN, CASE, HOME, "RS")
    assert (plan.phase, plan.entered_on, plan.due_on) == ("PLANNED", None, None)
    [told_of] = await kit.events(PLAN)
    assert (told_of.type, told_of.seq) == ("reintegration.plan.opened.v1", 1)
    assert told_of.source == "/RS/reintegration"
    assert told_of.data == {
        "plan_id": str(PLAN),
        "case_id": str(CASE),
        "referral_id": str(REFERRAL),
        "organisation_id": str(HOME),
        "country": "RS",
        "opened_on": ACCEPTED_ON.isoformat(),
    }
    [entry] = await kit.audit(action="create")
    assert (entry.actor, entry.object_ids, entry.subject) == ("system", [str(PLAN)], CASE)


# Fails when the inbox lets a record through twice, or when a handler opens a plan for each.
async def test_a_redelivered_acceptance_changes_nothing(kit: Kit) -> None:
    [event] = accepted()

    assert await kit.hear(event, event) == ["applied", "duplicate"]

    assert len(await kit.rows(select(Plan))) == 1
    assert types(await kit.events()) == ["opened"]


async def test_a_second_referral_joins_the_plan_that_is_open(kit: Kit) -> None:
    await kit.hear(*accepted())

    await kit.hear(*accepted(SECOND, receiver=ELSEWHERE, on=LATER))

    [plan] = await kit.rows(select(Plan))
    referrals = await kit.rows(select(PlanReferral).order_by(PlanReferral.accepted_on))
    assert [(row.referral_id, row.plan_id) for row in referrals] == [
        (REFERRAL, PLAN),
        (SECOND, PLAN),
    ]
    assert (plan.organisation_id, plan.version) == (HOME, 2)
    assert types(await kit.events(PLAN)) == ["opened", "referral_linked"]
    shown = await kit.caller("NGO_CASE_MANAGER").get(f"/v1/plans/{PLAN}")
    assert [one["referral_id"] for one in shown.json()["referrals"]] == [str(REFERRAL), str(SECOND)]


async def test_a_referral_after_the_closure_opens_another_plan(kit: Kit) -> None:
    await open_plan(kit)
    closure = {"reason": "WITHDREW", "closed_on": ACCEPTED_ON.isoformat()}
    await step(kit.caller("SOCIAL_WORKER"), "close", **closure)

    await kit.hear(*accepted(SECOND))

    plans = await kit.rows(select(Plan))
    assert sorted(plan.phase for plan in plans) == ["CLOSED", "PLANNED"]
    assert len({plan.id for plan in plans}) == 2


# Fails when a plan's id is drawn by chance: other services would hold ids that no longer exist.
async def test_hearing_everything_again_makes_the_same_plans(kit: Kit, tmp_path: Path) -> None:
    events = [*accepted(), *accepted(SECOND, case_id=UUID(int=7))]
    await kit.hear(*events)
    first = {plan.id for plan in await kit.rows(select(Plan))}

    async with open_service("reintegration", tmp_path / "again") as again:
        await again.hear(*events)
        second = {plan.id for plan in await again.rows(select(Plan))}

    assert first == second
    assert len(first) == 2


@pytest.mark.parametrize("order", ["case first", "referral first"])
async def test_case_and_referral_may_be_heard_of_in_any_order(kit: Kit, order: str) -> None:
    events = [*case_opened(), *accepted()]

    await kit.hear(*(events if order == "case first" else reversed(events)))

    centre = kit.caller("SOCIAL_WORKER", CENTRE)
    assert (await centre.get(f"/v1/plans/{PLAN}")).status_code == 200


def profile(*, is_minor: bool) -> CaseProfileChanged:
    return CaseProfileChanged(
        case_id=CASE,
        beneficiary_kind="VICTIM",
        sex="FEMALE",
        age_group="12-17" if is_minor else "18-24",
        is_minor=is_minor,
        urgency="NORMAL",
    )


@pytest.mark.parametrize(
    "change",
    [
        profile(is_minor=True),
        CaseIdentityRecorded(case_id=CASE, sex="FEMALE", age_group="12-17", is_minor=True),
    ],
)
async def test_what_is_learnt_of_the_age_is_kept(kit: Kit, change: EventData) -> None:
    await kit.hear(*case_opened(), *told("intake", CASE, change, first_seq=2))

    [known] = await kit.rows(select(KnownCase))
    assert (known.case_id, known.organisation_id, known.is_minor) == (CASE, CENTRE, True)


async def test_the_owner_of_a_case_is_the_organisation_that_carries_it(kit: Kit) -> None:
    assigned = CaseAssigned(case_id=CASE, organisation_id=ELSEWHERE, worker="worker-9")
    await kit.hear(*case_opened(), *accepted(), *told("intake", CASE, assigned, first_seq=2))

    plan = f"/v1/plans/{PLAN}"
    assert (await kit.caller("SOCIAL_WORKER", ELSEWHERE).get(plan)).status_code == 200
    assert (await kit.caller("SOCIAL_WORKER", CENTRE).get(plan)).status_code == 404


async def test_a_repeated_event_of_a_case_changes_nothing(kit: Kit) -> None:
    identity = CaseIdentityRecorded(case_id=CASE, sex="FEMALE", age_group="12-17", is_minor=True)
    events = [
        *case_opened(),
        *told("intake", CASE, profile(is_minor=False), identity, first_seq=2),
    ]
    await kit.hear(*events)

    assert await kit.hear(*events) == ["duplicate"] * 3

    [known] = await kit.rows(select(KnownCase))
    assert known.is_minor


# Fails when a later event overtakes: the case would be an adult's again.
async def test_changes_of_a_case_take_effect_in_their_order(kit: Kit) -> None:
    adult, child = told(
        "intake", CASE, profile(is_minor=False), profile(is_minor=True), first_seq=2
    )

    outcomes = await kit.hear(child, adult, *case_opened())

    [known] = await kit.rows(select(KnownCase))
    assert outcomes == ["pending", "pending", "applied"]
    assert known.is_minor


def spoilt(event: Event, **data: Any) -> Event:
    return event.model_copy(update={"data": event.data | data})


@pytest.mark.parametrize("member", ["case_id", "receiving_organisation_id", "on", "service_type"])
async def test_an_acceptance_that_cannot_be_read_is_buried_and_opens_nothing(
    kit: Kit, member: str
) -> None:
    [event] = accepted()

    assert await kit.hear(spoilt(event, **{member: "?"})) == ["dead"]

    [letter] = await kit.rows(select(DeadLetter))
    assert letter.reason == "payload_invalid"
    assert await kit.rows(select(Plan)) == []
    assert await kit.events() == []


async def test_other_steps_of_a_referral_open_nothing(kit: Kit) -> None:
    [event] = accepted()
    declined = event.model_copy(update={"type": "referral.referral.declined.v1"})

    await kit.hear(declined)

    assert await kit.rows(select(Plan)) == []


async def test_a_started_plan_takes_a_referral_without_losing_its_clock(kit: Kit) -> None:
    await open_plan(kit)
    await start(kit.caller("SOCIAL_WORKER"))

    await kit.hear(*accepted(SECOND, on=LATER))

    [plan] = await kit.rows(select(Plan))
    assert (plan.phase, plan.entered_on, plan.opened_on) == ("CRISIS", ACCEPTED_ON, ACCEPTED_ON)
