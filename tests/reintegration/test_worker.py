"""The sweep for overdue phases: on which local day it tells, how often, and of whom."""

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from common.db.base import Database, unit_of
from common.unit import Unit
from reintegration.models import Plan
from reintegration.worker import sweep
from tests.kit import Kit
from tests.reintegration.plans import (
    CASE,
    PLAN,
    accepted,
    agree,
    case_opened,
    open_plan,
    start,
    step,
    today_is,
)


async def overdue_events(kit: Kit) -> list[dict[str, object]]:
    events = await kit.events(PLAN)
    return [event.data for event in events if event.type.endswith("phase_overdue.v1")]


async def in_phase(kit: Kit, phase: str, entered_on: date) -> httpx.AsyncClient:
    """Bring a plan into a phase whose window is still running."""
    today_is(entered_on)
    await kit.hear(*case_opened(), *accepted(on=entered_on))
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker, entered_on)
    if phase != "CRISIS":
        review_on = (entered_on + timedelta(days=400)).isoformat()
        signatures = [
            {"party": party, "signed_on": entered_on.isoformat()}
            for party in ("PERSON", "CASE_WORKER")
        ]
        await agree(worker, review_on=review_on, signatures=signatures)
        moved = await step(worker, "phase", to_phase="TRANSITION", reason="READY_EARLY")
        assert moved.status_code == 200
    if phase == "REINTEGRATION":
        moved = await step(worker, "phase", to_phase="REINTEGRATION", reason="READY_EARLY")
        assert moved.status_code == 200
    return worker


# The anniversaries stand written out: computing them would repeat the code under test. 2024 is a
# leap year; an entry on the 30th or 31st has its anniversary on a shorter month's last day.
@pytest.mark.row("F44", "S56", "S57", "S58")
@pytest.mark.parametrize(
    ("phase", "entered_on", "due_on", "month"),
    [
        ("CRISIS", date(2026, 1, 15), date(2026, 4, 15), 4),
        ("TRANSITION", date(2026, 1, 15), date(2027, 1, 15), 13),
        ("REINTEGRATION", date(2026, 1, 15), date(2029, 1, 15), 37),
        ("CRISIS", date(2023, 11, 30), date(2024, 2, 29), 4),
        ("CRISIS", date(2025, 11, 30), date(2026, 2, 28), 4),
        ("TRANSITION", date(2024, 2, 29), date(2025, 2, 28), 13),
        ("REINTEGRATION", date(2024, 2, 29), date(2027, 2, 28), 37),
        ("CRISIS", date(2026, 5, 31), date(2026, 8, 31), 4),
    ],
)
async def test_a_phase_is_overdue_on_its_anniversary_and_not_the_day_before(
    kit: Kit, phase: str, entered_on: date, due_on: date, month: int
) -> None:
    worker = await in_phase(kit, phase, entered_on)

    today_is(due_on - timedelta(days=1))
    await sweep(kit.runtime)
    assert await overdue_events(kit) == []
    assert (await worker.get(f"/v1/plans/{PLAN}")).json()["is_overdue"] is False

    today_is(due_on)
    await sweep(kit.runtime)
    shown = (await worker.get(f"/v1/plans/{PLAN}")).json()
    assert await overdue_events(kit) == [
        {
            "plan_id": str(PLAN),
            "case_id": str(CASE),
            "phase": phase,
            "due_on": due_on.isoformat(),
            "month": month,
        }
    ]
    assert (shown["is_overdue"], shown["due_on"]) == (True, due_on.isoformat())
    assert (shown["month"], shown["phase"]) == (month, phase)
    [entry] = await kit.audit(operation="report_overdue")
    assert (entry.actor, entry.object_ids, entry.subject) == ("system", [str(PLAN)], CASE)


# The country counts its own days. Fails when the sweep asks for the day of UTC: on 14 April at
# 22:00 UTC it is the 15th in Belgrade (summer time), at 21:00 it is not.
@pytest.mark.row("F44")
async def test_the_day_is_that_of_the_country(kit: Kit) -> None:
    await in_phase(kit, "CRISIS", date(2026, 1, 15))

    today_is(date(2026, 4, 14), hour=21)
    await sweep(kit.runtime)
    assert await overdue_events(kit) == []

    today_is(date(2026, 4, 14), hour=22)
    await sweep(kit.runtime)
    assert len(await overdue_events(kit)) == 1


# Fails when every sweep tells again, or when the telling is remembered for ever.
@pytest.mark.row("F44")
async def test_it_is_told_once_for_each_stay_in_a_phase(kit: Kit) -> None:
    worker = await in_phase(kit, "CRISIS", date(2026, 1, 15))
    today_is(date(2026, 4, 20))
    for _ in range(3):
        await sweep(kit.runtime)
    assert len(await overdue_events(kit)) == 1

    await step(worker, "phase", to_phase="TRANSITION")
    await sweep(kit.runtime)
    assert len(await overdue_events(kit)) == 1

    await step(worker, "phase", to_phase="CRISIS", reason="RELAPSE")
    for _ in range(2):
        await sweep(kit.runtime)
    assert [event["phase"] for event in await overdue_events(kit)] == ["CRISIS", "CRISIS"]


async def test_a_plan_that_was_at_rest_is_told_of_again(kit: Kit) -> None:
    worker = await in_phase(kit, "CRISIS", date(2026, 1, 15))
    today_is(date(2026, 4, 15))
    await sweep(kit.runtime)

    await step(worker, "suspend")
    await step(worker, "resume")
    await sweep(kit.runtime)

    assert len(await overdue_events(kit)) == 2


async def test_a_plan_that_rests_waits_or_is_closed_is_not_reported(kit: Kit) -> None:
    worker = await in_phase(kit, "CRISIS", date(2026, 1, 15))
    await kit.hear(*accepted(UUID(int=32), case_id=UUID(int=31)))
    await step(worker, "suspend")
    today_is(date(2026, 4, 15))
    await sweep(kit.runtime)
    assert await overdue_events(kit) == []

    await step(worker, "resume")
    await sweep(kit.runtime)
    assert len(await overdue_events(kit)) == 1

    await step(worker, "close", reason="LEFT_AREA", closed_on="2026-04-15")
    today_is(date(2030, 1, 1))
    await sweep(kit.runtime)
    assert len(await overdue_events(kit)) == 1


class Overtaken:
    """A database in which somebody else changes the plan just before the first write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.keys = database.keys
        self.outbox_written = database.outbox_written
        self.batch = database.batch
        self.fetch = database.fetch
        self.listen = database.listen
        self.close = database.close
        self._is_first = True

    async def write(self, unit: Unit) -> None:
        if self._is_first:
            self._is_first = False
            other = unit_of(self._database, source="/RS/reintegration", operation="test")
            other.update(Plan, {"id": PLAN}, version=99)
            await self._database.write(other)
        await self._database.write(unit)


# Fails when a plan that was changed meanwhile ends the sweep, or is overwritten.
async def test_a_plan_that_changes_during_the_sweep_is_left_to_the_next(kit: Kit) -> None:
    await open_plan(kit)
    await start(kit.caller("NGO_CASE_MANAGER"))
    today_is(date(2026, 4, 15))

    await sweep(replace(kit.runtime, database=Overtaken(kit.runtime.database)))
    assert await overdue_events(kit) == []

    await sweep(kit.runtime)
    [plan] = await kit.rows(select(Plan))
    assert (plan.version, plan.overdue_phase) == (100, "CRISIS")
