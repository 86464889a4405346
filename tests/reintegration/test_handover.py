"""A plan for a person whose case this country took over from another one (F36)."""

from typing import Any

import pytest
from sqlalchemy import select

from common.contracts.referral import CrossBorderChanged, ReferralCancelled
from common.events import Event
from reintegration.models import Plan, PlanReferral
from tests.conftest import fixed_id
from tests.kit import HOME, Kit, told
from tests.reintegration.plans import (
    ACCEPTED_ON,
    CASE,
    CENTRE,
    PLAN,
    REFERRAL,
    accepted,
    case_opened,
    step,
    types,
)

NATIONAL = fixed_id(500)


def crossing(*statuses: str, **fields: Any) -> list[Event]:
    told_of = {
        "referral_id": REFERRAL,
        "direction": "RECEIVED",
        "peer_country": "XK",
        "case_id": CASE,
        "organisation_id": HOME,
        "purpose": "ASSISTANCE",
        "data_groups": ("IDENTITY",),
        "urgency": "HIGH",
        "on": ACCEPTED_ON,
    } | fields
    steps = [CrossBorderChanged.model_validate(told_of | {"status": each}) for each in statuses]
    return told("referral", REFERRAL, *steps)


@pytest.mark.row("F36", "F44")
async def test_the_handover_opens_a_plan_that_waits_for_its_start(kit_on_each: Kit) -> None:
    """Seeded: open it with the acceptance, when nobody has arrived; at the sender; twice."""
    kit = kit_on_each
    events = crossing("ACCEPTED", "ARRIVED", "HANDED_OVER", "HANDED_OVER")
    await kit.hear(*case_opened(organisation_id=HOME), *events[:2])
    early = await kit.rows(select(Plan))

    assert await kit.hear(*events[2:]) == ["applied", "applied"]

    [plan] = await kit.rows(select(Plan))
    assert early == []
    assert (plan.id, plan.case_id, plan.organisation_id) == (PLAN, CASE, HOME)
    assert (plan.phase, plan.referral_id, plan.entered_on) == ("PLANNED", REFERRAL, None)
    assert types(await kit.events(PLAN)) == ["opened"]
    worker = kit.caller("NGO_CASE_MANAGER", HOME)
    shown = await worker.get(f"/v1/plans/{PLAN}")
    assert (shown.status_code, shown.json()["referrals"]) == (200, [])
    started = await step(worker, "start", entered_on=ACCEPTED_ON.isoformat())
    assert started.status_code == 200, started.text


@pytest.mark.parametrize(
    "other", [{"direction": "SENT"}, {"case_id": None}, {"organisation_id": None}]
)
async def test_what_is_no_taking_over_opens_nothing(kit: Kit, other: dict[str, Any]) -> None:
    assert await kit.hear(*crossing("HANDED_OVER", **other)) == ["applied"]

    assert await kit.rows(select(Plan)) == []


async def test_the_open_plan_of_the_case_goes_on(kit: Kit) -> None:
    """Seeded: open a second one; the index of one plan per case would park the referral."""
    await kit.hear(*accepted(NATIONAL), *crossing("HANDED_OVER"))

    [plan] = await kit.rows(select(Plan))
    assert plan.referral_id == NATIONAL


async def test_no_end_of_a_national_referral_stops_what_came_with_the_case(kit: Kit) -> None:
    """Seeded: look for other referrals of this country only."""
    await kit.hear(*crossing("HANDED_OVER"), *accepted(NATIONAL))
    [joined] = await kit.rows(select(PlanReferral))
    cancelled = ReferralCancelled(
        referral_id=NATIONAL,
        case_id=CASE,
        sending_organisation_id=CENTRE,
        receiving_organisation_id=HOME,
        service_type="SHELTER",
        urgency="HIGH",
        status="CANCELLED",
        previous_status="ACCEPTED",
        reason="CONSENT_WITHDRAWN",
        on=ACCEPTED_ON,
    )

    assert await kit.hear(*told("referral", NATIONAL, cancelled, first_seq=2)) == ["applied"]

    [plan] = await kit.rows(select(Plan))
    assert (joined.plan_id, plan.consent_withdrawn_on, plan.is_suspended) == (PLAN, None, False)
