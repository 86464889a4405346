"""The whole way of a plan, on SQLite and on PostgreSQL."""

from datetime import date
from pathlib import Path

import pytest

from reintegration.worker import sweep
from tests.kit import if_match, open_service
from tests.reintegration.plans import (
    ACCEPTED_ON,
    PLAN,
    agree,
    open_plan,
    start,
    step,
    today_is,
    types,
)


@pytest.mark.row("F44", "F45", "F46", "F51", "S64")
async def test_a_plan_from_referral_to_closure(database_url: str, tmp_path: Path) -> None:
    today_is(ACCEPTED_ON)
    async with open_service("reintegration", tmp_path, database_url=database_url) as kit:
        await open_plan(kit, is_minor=True)
        worker = kit.caller("NGO_CASE_MANAGER")
        await start(worker)
        today_is(date(2026, 4, 15))
        await sweep(kit.runtime)
        await step(worker, "phase", to_phase="TRANSITION", note="Мирнија је; иде у школу.")
        parties = ["PERSON", "GUARDIAN", "CASE_WORKER"]
        agreement = await agree(worker, "PERSON", "GUARDIAN", parties=parties)
        await worker.post(
            f"{agreement.headers['Location']}/sign",
            json={"party": "CASE_WORKER", "signed_on": "2026-04-15"},
            headers=if_match(agreement),
        )
        today_is(date(2027, 1, 15))
        await step(worker, "phase", to_phase="REINTEGRATION")
        await step(worker, "suspend")
        await step(worker, "resume")
        today_is(date(2029, 1, 20))
        await sweep(kit.runtime)
        await step(worker, "phase", to_phase="FOLLOW_UP")
        closed = await step(
            worker, "close", reason="COMPLETED_REINTEGRATED", closed_on="2029-01-20"
        )

        assert (closed.status_code, closed.json()["month"]) == (200, 37)
        events = await kit.events(PLAN)
        assert types(events) == [
            "opened",
            "phase_changed",
            "phase_overdue",
            "phase_changed",
            "agreement_drafted",
            "agreement_party_signed",
            "agreement_party_signed",
            "agreement_party_signed",
            "agreement_signed",
            "phase_changed",
            "suspended",
            "resumed",
            "phase_overdue",
            "phase_changed",
            "closed",
        ]
        assert [event.seq for event in events] == [*range(1, 16)]
        assert closed.headers["ETag"] == '"15"'
        overdue = [e.data for e in events if e.type.endswith("phase_overdue.v1")]
        assert [(data["phase"], data["month"]) for data in overdue] == [
            ("CRISIS", 4),
            ("REINTEGRATION", 37),
        ]
        shown = (await worker.get(f"/v1/plans/{PLAN}")).json()
        assert [one["to_phase"] for one in shown["history"] if one["action"] == "change_phase"] == [
            "TRANSITION",
            "REINTEGRATION",
            "FOLLOW_UP",
        ]
        [note] = (await worker.get(f"/v1/plans/{PLAN}/notes")).json()["items"]
        assert note["note"] == "Мирнија је; иде у школу."
        found = (await worker.get("/v1/plans?is_overdue=false&phase=CLOSED")).json()["items"]
        assert [item["id"] for item in found] == [str(PLAN)]
