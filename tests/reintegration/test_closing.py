"""Closing a plan, and going on with it: coded reasons, episodes, a clock that never stopped."""

from datetime import date
from uuid import UUID

import pytest

from tests.kit import Kit
from tests.reintegration.plans import (
    ACCEPTED_ON,
    PLAN,
    accepted,
    assert_told,
    open_plan,
    start,
    step,
    today_is,
    types,
    written,
)


@pytest.mark.row("F51")
async def test_a_plan_closes_with_a_coded_reason_and_reopens_with_its_clock(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    today_is(date(2026, 3, 20))

    closed = await step(worker, "close", reason="LEFT_AREA", closed_on="2026-03-10")

    shown = closed.json()
    assert (shown["phase"], shown["closure_reason"]) == ("CLOSED", "LEFT_AREA")
    assert (shown["closed_on"], shown["month"], shown["due_on"]) == ("2026-03-10", 2, None)
    await assert_told(
        kit, "close_plan", "closed", reason="LEFT_AREA", closed_on="2026-03-10", episode=1
    )

    today_is(date(2026, 5, 2))
    reopened = await step(worker, "reopen", reason="RE_TRAFFICKED")

    shown = reopened.json()
    assert (shown["id"], shown["phase"], shown["episode"]) == (str(PLAN), "CRISIS", 2)
    assert (shown["entered_on"], shown["month"]) == (ACCEPTED_ON.isoformat(), 4)
    assert (shown["closed_on"], shown["closure_reason"]) == (None, None)
    await assert_told(
        kit,
        "reopen_plan",
        "reopened",
        reason="RE_TRAFFICKED",
        reopened_on="2026-05-02",
        to_phase="CRISIS",
        episode=2,
    )
    history = (await worker.get(f"/v1/plans/{PLAN}")).json()["history"]
    assert [(s["action"], s["from_phase"], s["to_phase"], s["episode"]) for s in history] == [
        ("start", "PLANNED", "CRISIS", 1),
        ("close", "CRISIS", "CLOSED", 1),
        ("reopen", "CLOSED", "CRISIS", 2),
    ]


@pytest.mark.parametrize("closed_on", ["2026-05-01", "2026-05-03"])
async def test_an_episode_ends_between_its_beginning_and_today(kit: Kit, closed_on: str) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    await step(worker, "close", reason="LEFT_AREA", closed_on=ACCEPTED_ON.isoformat())
    today_is(date(2026, 5, 2))
    await step(worker, "reopen", reason="PERSON_REQUEST")
    before = await written(kit)

    refused = await step(worker, "close", reason="WITHDREW", closed_on=closed_on)

    assert (refused.status_code, refused.json()["code"]) == (422, "plan.day_out_of_range")
    assert await written(kit) == before


async def test_a_reopening_needs_a_reason_that_fits(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await step(worker, "close", reason="WITHDREW", closed_on=ACCEPTED_ON.isoformat())
    before = await written(kit)

    refused = await step(worker, "reopen", reason="READY_EARLY")

    assert (refused.status_code, refused.json()["code"]) == (422, "plan.reason_unfit")
    assert await written(kit) == before


async def test_a_plan_closed_before_its_start_reopens_as_planned(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await step(worker, "close", reason="WITHDREW", closed_on=ACCEPTED_ON.isoformat())

    reopened = await step(worker, "reopen", reason="PERSON_REQUEST")

    assert (reopened.json()["phase"], reopened.json()["due_on"]) == ("PLANNED", None)
    assert types(await kit.events(PLAN)) == ["opened", "closed", "reopened"]


@pytest.mark.row("F51")
async def test_a_case_that_has_another_open_plan_keeps_the_old_one_closed(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await step(worker, "close", reason="TRANSFERRED", closed_on=ACCEPTED_ON.isoformat())
    await kit.hear(*accepted(UUID(int=5)))
    before = await written(kit)

    refused = await step(worker, "reopen", reason="PERSON_REQUEST")

    assert (refused.status_code, refused.json()["code"]) == (409, "plan.already_open")
    assert await written(kit) == before
