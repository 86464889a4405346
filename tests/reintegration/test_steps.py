"""A plan's steps through the API: what each changes and tells, and what a refusal leaves."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from reintegration.models import PlanStep
from tests.kit import Kit, if_match
from tests.reintegration.plans import (
    ACCEPTED_ON,
    CASE,
    PLAN,
    agree,
    assert_told,
    last_entry,
    open_plan,
    start,
    step,
    today_is,
    written,
)

TRANSITION_DAY = date(2026, 4, 15)
REINTEGRATION_DAY = date(2027, 1, 15)


# --- start


@pytest.mark.row("F44")
async def test_a_plan_is_started_and_its_months_count_from_entry(kit: Kit) -> None:
    await open_plan(kit)
    today_is(date(2026, 2, 20))
    worker = kit.caller("NGO_CASE_MANAGER")

    started = await step(worker, "start", entered_on="2026-01-31")

    shown = started.json()
    assert (shown["phase"], shown["entered_on"], shown["month"]) == ("CRISIS", "2026-01-31", 1)
    # An entry on the 31st has its third anniversary on the last day of April.
    assert (shown["due_on"], shown["is_overdue"]) == ("2026-04-30", False)
    assert started.headers["ETag"] == '"2"'
    await assert_told(
        kit,
        "start_plan",
        "phase_changed",
        from_phase="PLANNED",
        to_phase="CRISIS",
        direction="FORWARD",
        reason=None,
        entered_on="2026-01-31",
        changed_on="2026-02-20",
        month=1,
    )


@pytest.mark.parametrize(
    ("entered_on", "code"),
    [
        (ACCEPTED_ON - timedelta(days=1), "plan.entry_before_referral"),
        (ACCEPTED_ON + timedelta(days=1), "plan.day_out_of_range"),
    ],
)
async def test_an_impossible_entry_is_refused_and_nothing_is_written(
    kit: Kit, entered_on: date, code: str
) -> None:
    await open_plan(kit)
    before = await written(kit)

    refused = await step(kit.caller("NGO_CASE_MANAGER"), "start", entered_on=entered_on.isoformat())

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["errors"][0]["pointer"] == "/entered_on"
    assert await written(kit) == before


# --- phases


@pytest.mark.row("F45")
async def test_the_next_phase_on_its_day_needs_no_reason(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    today_is(TRANSITION_DAY)

    changed = await step(worker, "phase", to_phase="TRANSITION")

    shown = changed.json()
    assert (shown["phase"], shown["month"], shown["due_on"]) == ("TRANSITION", 4, "2027-01-15")
    await assert_told(
        kit,
        "change_phase",
        "phase_changed",
        from_phase="CRISIS",
        to_phase="TRANSITION",
        direction="FORWARD",
        reason=None,
        month=4,
    )


@pytest.mark.row("F45")
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to_phase": "TRANSITION"}, 422, "plan.reason_required"),
        ({"to_phase": "TRANSITION", "reason": "RELAPSE"}, 422, "plan.reason_unfit"),
        ({"to_phase": "FOLLOW_UP"}, 409, "plan.agreement_required"),
        ({"to_phase": "REINTEGRATION"}, 409, "plan.agreement_required"),
        ({"to_phase": "CLOSED"}, 409, "plan.illegal_phase"),
        ({"to_phase": "CRISIS"}, 409, "plan.illegal_phase"),
    ],
)
async def test_a_change_against_the_rules_is_refused_and_nothing_is_written(
    kit: Kit, body: dict[str, str], status: int, code: str
) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    today_is(TRANSITION_DAY - timedelta(days=1))
    before = await written(kit)

    refused = await step(worker, "phase", **body)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert await written(kit) == before
    assert len(await kit.rows(select(PlanStep))) == 1


@pytest.mark.row("F45")
@pytest.mark.parametrize(
    ("phases", "last", "direction", "is_early"),
    [
        ([], {"to_phase": "TRANSITION", "reason": "READY_EARLY"}, "FORWARD", True),
        ([], {"to_phase": "FOLLOW_UP", "reason": "PHASE_NOT_NEEDED"}, "SKIP", False),
        (
            [{"to_phase": "TRANSITION", "reason": "READY_EARLY"}],
            {"to_phase": "CRISIS", "reason": "NEW_CRISIS"},
            "BACK",
            False,
        ),
    ],
)
async def test_early_skipped_and_backward_changes_are_kept_with_their_reason(
    *,
    kit: Kit,
    phases: list[dict[str, str]],
    last: dict[str, str],
    direction: str,
    is_early: bool,
) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    today_is(date(2026, 3, 1))
    await agree(worker, "PERSON", "CASE_WORKER")
    for body in phases:
        await step(worker, "phase", **body)

    changed = await step(worker, "phase", **last)

    assert changed.status_code == 200
    shown = (await worker.get(f"/v1/plans/{PLAN}")).json()
    newest = shown["history"][-1]
    assert (newest["direction"], newest["is_early"]) == (direction, is_early)
    assert (newest["reason"], newest["month"]) == (last["reason"], 2)
    # The clock runs on from entry whatever the direction.
    assert (shown["entered_on"], shown["month"]) == (ACCEPTED_ON.isoformat(), 2)
    await assert_told(
        kit, "change_phase", "phase_changed", direction=direction, reason=last["reason"]
    )


@pytest.mark.row("F46", "F45")
async def test_reintegration_is_entered_with_an_agreement_in_force_only(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    today_is(TRANSITION_DAY)
    await step(worker, "phase", to_phase="TRANSITION")
    await agree(worker, "PERSON")
    today_is(REINTEGRATION_DAY)
    before = await written(kit)

    refused = await step(worker, "phase", to_phase="REINTEGRATION")

    assert (refused.status_code, refused.json()["code"]) == (409, "plan.agreement_required")
    assert await written(kit) == before

    await agree(worker, "PERSON", "CASE_WORKER", review_on="2027-06-01")
    entered = await step(worker, "phase", to_phase="REINTEGRATION")

    assert (entered.status_code, entered.json()["phase"]) == (200, "REINTEGRATION")
    assert entered.json()["due_on"] == "2029-01-15"


# --- suspension


async def test_a_suspended_plan_rests_and_goes_on_in_its_phase(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    today_is(TRANSITION_DAY)

    suspended = await step(worker, "suspend")

    assert (suspended.json()["is_suspended"], suspended.json()["is_overdue"]) == (True, False)
    await assert_told(kit, "suspend_plan", "suspended", suspended_on="2026-04-15")

    resumed = await step(worker, "resume")

    assert (resumed.json()["is_suspended"], resumed.json()["is_overdue"]) == (False, True)
    assert (resumed.json()["phase"], resumed.json()["month"]) == ("CRISIS", 4)
    await assert_told(kit, "resume_plan", "resumed", resumed_on="2026-04-15")


@pytest.mark.parametrize(
    ("first", "verb", "body", "legal"),
    [
        ([], "resume", {}, ["start", "suspend", "close"]),
        (["suspend"], "suspend", {}, ["resume", "close"]),
        (["suspend"], "start", {"entered_on": "2026-01-15"}, ["resume", "close"]),
        (["suspend"], "phase", {"to_phase": "CRISIS"}, ["resume", "close"]),
        ([], "phase", {"to_phase": "CRISIS"}, ["start", "suspend", "close"]),
        ([], "reopen", {"reason": "RELAPSE"}, ["start", "suspend", "close"]),
    ],
)
async def test_a_step_that_is_not_legal_names_those_that_are(
    kit: Kit, first: list[str], verb: str, body: dict[str, str], legal: list[str]
) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    for earlier in first:
        await step(worker, earlier)
    before = await written(kit)

    refused = await step(worker, verb, **body)

    assert (refused.status_code, refused.json()["code"]) == (409, "plan.illegal_step")
    assert refused.json()["legal"] == legal
    assert await written(kit) == before


# --- notes


@pytest.mark.row("F17", "F15")
async def test_a_note_is_sealed_and_every_reading_is_recorded(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    note = "Претио јој је бивши газда; вратила се у сигурну кућу."
    await start(worker)
    await step(worker, "suspend", note=note)

    notes = await worker.get(f"/v1/plans/{PLAN}/notes")

    [read] = notes.json()["items"]
    assert (read["note"], read["happened_on"]) == (note, ACCEPTED_ON.isoformat())
    entry = await last_entry(kit, "list_notes")
    assert (entry.action, entry.object_type) == ("read", "plan_step")
    assert (entry.object_ids, entry.subject) == ([read["step_id"]], CASE)
    assert (entry.data_groups, entry.purpose) == (["SUPPORT"], "ASSISTANCE")
    assert entry.legal_basis == "CONSENT"
    history = (await worker.get(f"/v1/plans/{PLAN}")).json()["history"]
    assert [one["has_note"] for one in history] == [False, True]
    for part in (note, "газда"):
        assert part.encode() not in kit.stored_bytes()
        assert all(part not in event.to_bytes().decode() for event in await kit.events())


# --- one step at a time


# Fails when the version is not compared, or when a step raises it by other than its events.
@pytest.mark.row("F81")
async def test_of_two_steps_at_one_version_the_second_is_told_so(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    seen = await worker.get(f"/v1/plans/{PLAN}")
    await worker.post(f"/v1/plans/{PLAN}/suspend", json={}, headers=if_match(seen))
    before = await written(kit)

    late = await worker.post(f"/v1/plans/{PLAN}/resume", json={}, headers=if_match(seen))
    blind = await worker.post(f"/v1/plans/{PLAN}/resume", json={})

    assert (late.status_code, late.json()["code"]) == (412, "precondition.failed")
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition.required")
    assert await written(kit) == before


async def test_validating_writes_nothing(kit: Kit) -> None:
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    seen = await worker.get(f"/v1/plans/{PLAN}")
    before = await written(kit)

    checked = await worker.post(
        f"/v1/plans/{PLAN}/start?validate_only=true",
        json={"entered_on": ACCEPTED_ON.isoformat()},
        headers=if_match(seen),
    )

    assert checked.json() == {"valid": True}
    assert await written(kit) == before
