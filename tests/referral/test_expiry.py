"""The clock: a deadline by urgency, an expired referral told to all, one failure stopping nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from common.clock import new_id
from referral.worker import expire_overdue
from tests.common.things import fail_on
from tests.kit import Kit, open_service
from tests.referral.story import (
    NOW,
    acknowledged,
    drafted,
    last_told,
    now_is,
    ready,
    receiver,
    sender,
    sent,
    step,
)

SECOND = timedelta(seconds=1)


async def status_of(kit: Kit, referral_id: UUID) -> str:
    answer = await sender(kit).get(f"/v1/referrals/{referral_id}")
    status: str = answer.json()["status"]
    return status


# Counted on a paper calendar: NOW is Monday 4 May 2026, 12:00 in Belgrade; ten working days after it
# end with Monday 18 May, whose midnight is 22:00 UTC.
DEADLINES = {
    "CRISIS": datetime(2026, 5, 5, 10, tzinfo=UTC),
    "HIGH": datetime(2026, 5, 6, 10, tzinfo=UTC),
    "NORMAL": datetime(2026, 5, 18, 22, tzinfo=UTC),
    "LOW": datetime(2026, 5, 18, 22, tzinfo=UTC),
}


@pytest.mark.row("F33", "F35")
@pytest.mark.parametrize("urgency", DEADLINES)
async def test_a_referral_nobody_decides_on_expires_at_its_deadline(kit: Kit, urgency: str) -> None:
    case, _ = await ready(kit)
    waiting = await sent(kit, case, urgency=urgency)
    received = await acknowledged(kit, case, urgency=urgency)
    deadline = DEADLINES[urgency]
    seen = await sender(kit).get(f"/v1/referrals/{waiting}")
    assert seen.json()["respond_by"] == f"{deadline:%Y-%m-%dT%H:%M:%SZ}"

    now_is(deadline - SECOND)
    await expire_overdue(kit.runtime)
    before = {await status_of(kit, waiting), await status_of(kit, received)}
    now_is(deadline)
    await expire_overdue(kit.runtime)

    assert before == {"SUBMITTED", "ACKNOWLEDGED"}
    for referral_id, previous in ((waiting, "SUBMITTED"), (received, "ACKNOWLEDGED")):
        event = await last_told(kit, referral_id)
        assert event.type == "referral.referral.expired.v1"
        assert event.source == "/RS/referral"
        assert (event.data["previous_status"], event.data["status"]) == (previous, "EXPIRED")
        assert event.data["reason"] is None
        [entry] = await kit.audit(operation="expire_referral", object_ids=[str(referral_id)])
        assert (entry.actor, entry.action, entry.subject) == ("system", "update", case.id)


async def test_a_second_sweep_finds_nothing_left(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)
    now_is(NOW + timedelta(days=30))

    await expire_overdue(kit.runtime)
    events = await kit.events(referral_id)
    await expire_overdue(kit.runtime)

    assert await kit.events(referral_id) == events


@pytest.mark.parametrize(
    ("verbs", "status"),
    [
        ([], "DRAFT"),
        (["submit", "acknowledge", "accept"], "ACCEPTED"),
        (["submit", "return_for_info"], "RETURNED_FOR_INFO"),
        (["submit", "acknowledge", "decline"], "DECLINED"),
    ],
)
async def test_what_was_decided_or_waits_for_its_sender_does_not_expire(
    kit: Kit, verbs: list[str], status: str
) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    for verb in verbs:
        caller = sender(kit) if verb == "submit" else receiver(kit)
        await step(caller, referral_id, verb, {"reason": "OTHER"} if verb[0] in "rd" else None)
    now_is(NOW + timedelta(days=365))

    await expire_overdue(kit.runtime)

    assert await status_of(kit, referral_id) == status


async def test_sending_again_starts_the_time_anew(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case, urgency="CRISIS")
    await step(receiver(kit), referral_id, "return_for_info", {"reason": "RISK_UNCLEAR"})
    now_is(NOW + timedelta(hours=30))
    await step(sender(kit), referral_id, "resubmit", {})

    now_is(NOW + timedelta(hours=54) - SECOND)
    await expire_overdue(kit.runtime)
    still = await status_of(kit, referral_id)
    now_is(NOW + timedelta(hours=54))
    await expire_overdue(kit.runtime)

    assert (still, await status_of(kit, referral_id)) == ("SUBMITTED", "EXPIRED")


# The escalation of F35: the coordinator, who has no side in it, finds the expired referral in the
# list and in the change feed.
@pytest.mark.row("F35")
@pytest.mark.parametrize("role", ["NATIONAL_COORDINATOR", "NATIONAL_CONTACT_POINT"])
async def test_an_expired_referral_reaches_the_coordinator(kit: Kit, role: str) -> None:
    case, _ = await ready(kit)
    expired = await sent(kit, case, urgency="CRISIS")
    await sent(kit, case, urgency="LOW")
    coordinator = kit.caller(role, new_id())
    now_is(NOW + timedelta(hours=25))
    overdue = await coordinator.get(
        "/v1/referrals",
        params={"status.in": "SUBMITTED,ACKNOWLEDGED", "respond_by.lt": "2026-05-05T11:00:00Z"},
    )

    await expire_overdue(kit.runtime)
    listed = await coordinator.get("/v1/referrals", params={"status": "EXPIRED"})

    assert [item["id"] for item in overdue.json()["items"]] == [str(expired)]
    assert [(item["id"], item["sex"]) for item in listed.json()["items"]] == [(str(expired), None)]
    [*_, last] = await kit.events(expired)
    assert last.type == "referral.referral.expired.v1"


# Fails when the sweep is one Unit, or stops at the first row that cannot be written.
async def test_one_row_that_cannot_be_written_stops_none_of_the_others(kit: Kit) -> None:
    case, _ = await ready(kit)
    ids = [await sent(kit, case, urgency=urgency) for urgency in ("CRISIS", "HIGH", "LOW")]
    bad = ids[1]
    url = kit.runtime.settings.database_url
    fail_on(url, "referral", f"NEW.id = '{bad.hex}' AND NEW.status = 'EXPIRED'")
    now_is(NOW + timedelta(days=30))

    await expire_overdue(kit.runtime)

    assert [await status_of(kit, referral_id) for referral_id in ids] == [
        "EXPIRED",
        "SUBMITTED",
        "EXPIRED",
    ]
    assert len(await kit.events(bad)) == 2


# A holiday the country has named counts as no working day.
async def test_a_public_holiday_moves_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRAG_PUBLIC_HOLIDAYS", '["2026-05-11"]')
    now_is(NOW)
    async with open_service("referral", tmp_path) as kit:
        case, _ = await ready(kit)
        referral_id = await sent(kit, case, urgency="NORMAL")

        answer = await sender(kit).get(f"/v1/referrals/{referral_id}")

    assert answer.json()["respond_by"] == "2026-05-19T22:00:00Z"
