"""Whose word opens a referral, and whom it may mean: classes of recipients, guardians, age."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.clock import new_id
from common.codelists import all_codes
from common.events import Event
from intake.worker import sweep
from tests.kit import Kit, open_service
from tests.referral.story import (
    SHELTER,
    TODAY,
    Case,
    acknowledged,
    drafted,
    granted,
    now_is,
    open_case,
    receiver,
    register,
    sender,
    step,
)

LAW = {"POLICE", "BORDER_POLICE", "PROSECUTION"}


# Every kind as the receiver, against a class of that kind alone and a class of all the others.
@pytest.mark.row("F10")
@pytest.mark.parametrize("kind", sorted(all_codes("organisation_kinds")))
async def test_a_class_of_recipients_opens_to_organisations_of_its_kinds_alone(
    kit: Kit, kind: str
) -> None:
    """Seeded: leave the class out of the projection, or take any class for any kind."""
    await register(kit, SHELTER, kind=kind)
    case = await open_case(kit)
    scope = "SHARE_LAW_ENFORCEMENT" if kind in LAW else "SHARE_NATIONAL"
    others = tuple(sorted(all_codes("organisation_kinds") - {kind}))
    referral_id = await drafted(kit, case)

    await case.tell(kit, granted(case.id, None, scope=scope, recipient_kinds=others))
    before = await step(sender(kit), referral_id, "submit")
    await case.tell(kit, granted(case.id, None, scope=scope, recipient_kinds=(kind,)))
    after = await step(sender(kit), referral_id, "submit")

    assert (before.status_code, before.json()["code"]) == (403, "consent.missing")
    assert after.status_code == 200, after.text


@pytest.mark.row("F11")
@pytest.mark.parametrize(
    ("guardian", "is_covered"),
    [("PARENT", False), ("RELATIVE", False), (None, False), ("APPOINTED", True)],
)
async def test_for_an_adult_only_a_court_appointed_guardian_may_consent(
    kit: Kit, guardian: str | None, *, is_covered: bool
) -> None:
    """Seeded: count an event that is older than `guardian` as an appointed one's."""
    await register(kit)
    case = await open_case(kit)
    await case.tell(kit, granted(case.id, given_by="GUARDIAN", guardian=guardian))
    referral_id = await drafted(kit, case)

    answer = await step(sender(kit), referral_id, "submit")

    assert answer.status_code == (200 if is_covered else 403)


# --- the eighteenth birthday, as intake tells it

BIRTHDAY = date(2026, 5, 18)
EVE = BIRTHDAY - timedelta(days=1)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 10, tzinfo=UTC)


async def child_at_intake(intake: Kit, guardian: str) -> UUID:
    """Open the case of a girl who comes of age on BIRTHDAY, with her guardian's consent."""
    case_id, worker = new_id(), intake.caller("SOCIAL_WORKER")
    opened = await worker.post(
        "/v1/cases",
        json={
            "id": str(case_id),
            "beneficiary_kind": "AT_RISK",
            "sex": "FEMALE",
            "urgency": "NORMAL",
            "legal_basis": "PUBLIC_TASK",
            "birth_date": "2008-05-18",
        },
    )
    assert opened.status_code == 201, opened.text
    terms: dict[str, Any] = {
        "scope": "SHARE_NATIONAL",
        "given_by": "GUARDIAN",
        "guardian": guardian,
        "guardian_suspected": False,
        "assent": "GIVEN",
        "language": "sr-Cyrl",
        "recipient_kinds": ["SHELTER"],
        "purposes": ["ASSISTANCE"],
        "data_groups": ["IDENTITY"],
        "granted_on": TODAY.isoformat(),
    }
    granted_ = await worker.post(f"/v1/cases/{case_id}/consents", json=terms)
    assert granted_.status_code == 201, granted_.text
    return case_id


@pytest.mark.parametrize(("guardian", "still_holds"), [("PARENT", False), ("APPOINTED", True)])
async def test_a_guardians_consent_opens_a_referral_until_the_day_before_she_comes_of_age(
    kit: Kit, tmp_path: Path, guardian: str, *, still_holds: bool
) -> None:
    """Seeded: count the birthday's eve, or let intake tell the age only when somebody asks."""
    heard = 0
    home = tmp_path / "intake"
    home.mkdir()
    async with open_service("intake", home) as intake:

        async def tell() -> list[Event]:
            nonlocal heard
            await sweep(intake.runtime)
            events = [each for each in await intake.events() if each.subject == case.id]
            fresh, heard = events[heard:], len(events)
            assert set(await kit.hear(*fresh)) <= {"applied"}
            return fresh

        case = Case(await child_at_intake(intake, guardian))
        await register(kit)
        await tell()
        note = "Afraid of the dark."
        referral_id = await acknowledged(kit, case, note=note)
        path = f"/v1/referrals/{referral_id}"

        now_is(noon(EVE))
        assert await tell() == []
        eve = await receiver(kit).get(path)
        now_is(noon(BIRTHDAY))
        [came_of_age, *_] = await tell()
        birthday = await receiver(kit).get(path)
        accepted = await step(receiver(kit), referral_id, "accept")

    assert came_of_age.data["is_minor"] is False
    assert eve.json()["note"] == note
    assert birthday.json()["note"] == (note if still_holds else None)
    assert accepted.status_code == (200 if still_holds else 403)
